"""The rules of decision, seen in the rows that sites read: repeated, removed, restored, older, changed, replaced."""

import pytest

from ingestd.model import Scope
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.library_rows import live, title
from support.world import World, cover, md5, photo


def test_a_bundle_becomes_rows(world: World) -> None:
    entry = photo("dawn", files=2)
    entry["files"].append({"variant": "blurred", "path": "b.jpg", "bytes": 1})
    sync_id = world.put(entry, cover("c", "dawn"), containers=[gallery("g", "dawn")])
    folder = entry["path"]
    world.file(f"{folder}/source/source.json", b'{"camera": "x"}')
    world.file(f"{folder}/source/data/photo.meaning.json", b'{"sun": 1}')
    world.file(f"{folder}/source/data/notes.txt", b"hello")
    context = world.context()
    assert world.import_all(context, sync_id) == ["done"]
    assert world.status(sync_id) == "imported"
    assert world.sql("SELECT variant, path, bytes FROM asset_file ORDER BY variant") == [
        ("original", f"{folder}/0.jpg", 10),
        ("v1", f"{folder}/1.jpg", 11),
    ]
    assert world.sql("SELECT document FROM asset_source WHERE is_current") == [('{"camera": "x"}',)]
    assert world.sql("SELECT analysis_kind, document FROM asset_ai_run ORDER BY 1") == [
        ("photo_meaning", '{"sun": 1}'),
        ("source_data:notes.txt", '{"encoding":"text","data":"hello"}'),
    ]
    assert world.sql("SELECT cover_hash FROM asset_cover") == [(md5("c"),)]
    assert world.sql("SELECT g.title, i.position FROM asset_gallery g JOIN asset_gallery_item i ON g.id = gallery_id")
    versions = set(world.sql("SELECT DISTINCT sync_id FROM asset UNION SELECT sync_id FROM asset_file"))
    assert versions == {(sync_id,)}


def gallery(name: str, *members: str, **more: object) -> dict[str, object]:
    return {"type": "gallery", "hash": md5(name), "title": name, "items": [md5(m) for m in members], **more}


def test_a_bundle_of_many_steps_and_chunks_loses_nothing(world: World) -> None:
    context = world.context(worker={"chunk_items": 70})
    items = [{"type": "photo", "hash": md5(str(i)), "title": str(i)} for i in range(2500)]
    sync_id = world.put(*items, *(cover(f"c{i}", str(i)) for i in range(500)))
    world.import_all(context, sync_id)
    assert world.status(sync_id) == "imported"
    counts = "SELECT (SELECT COUNT(*) FROM asset), (SELECT COUNT(*) FROM asset_cover), COUNT(*) FROM ingest_batch_item"
    assert world.sql(counts) == [(2500, 500, 3000)]
    recorded = [payload["hash"] for kind, payload in world.events(sync_id) if kind in ("item_created", "item_linked")]
    assert recorded == [item["hash"] for item in items] + [md5(f"c{i}") for i in range(500)]


def test_three_runs_are_one(world: World) -> None:
    sync_id = world.put(photo("a"), photo("b", cover_hash=md5("k")), cover("c", "a"), containers=[gallery("g", "a")])
    context = world.context()
    world.import_all(context, sync_id)
    once = world.library()
    decided = world.sql("SELECT * FROM ingest_batch_item ORDER BY id")
    for _ in range(2):
        world.import_all(context, sync_id)
        assert world.library() == once
        assert world.sql("SELECT * FROM ingest_batch_item ORDER BY id") == decided
    started = [payload for kind, payload in world.events(sync_id) if kind == "import_started"]
    assert [payload["already_terminal_count"] for payload in started] == [0, 3, 3]


def test_reimport_decides_all_items_again_and_changes_nothing(world: World) -> None:
    sync_id = world.put(photo("a"), cover("c", "a"), containers=[gallery("g", "a")])
    context = world.context()
    world.import_all(context, sync_id)
    once = world.library()
    request = QueueRequest(sync_id, "tester", scope=Scope.REIMPORT)
    enqueue(context, request)
    assert world.run_next(context) == "done"
    assert world.library() == once
    assert set(world.decisions(sync_id).values()) == {"skipped:unchanged"}


def test_remove_restores_and_older_changes_nothing(world: World) -> None:
    context = world.context()
    created = world.put(photo("a"), day=1)
    removed = world.put({"type": "photo", "hash": md5("a")}, action="remove", day=3)
    world.import_all(context, created, removed)
    assert not live(world, "a")
    older = world.put(photo("a", title="late"), action="update", day=2)
    before = world.library()
    world.import_all(context, older)
    assert world.library() == before
    assert world.decisions(older) == {md5("a"): "skipped:superseded"}
    restored = world.put(photo("a", title="again"), action="update", day=4)
    world.import_all(context, restored)
    assert live(world, "a")
    assert title(world, "a") == "again"
    assert world.decisions(restored) == {md5("a"): "updated"}


def test_a_tombstone_outlives_a_late_older_delivery(world: World) -> None:
    context = world.context()
    removed = world.put({"type": "photo", "hash": md5("a")}, action="remove", day=5)
    late = world.put(photo("a"), day=1)
    world.import_all(context, removed, late)
    assert world.decisions(removed) == {md5("a"): "skipped:tombstoned"}
    assert world.decisions(late) == {md5("a"): "skipped:superseded"}
    assert not live(world, "a")


def test_an_identical_newer_delivery_only_advances_the_version(world: World) -> None:
    context = world.context()
    first, second = world.put(photo("a"), day=1), world.put(photo("a"), day=2)
    world.import_all(context, first)
    files = world.sql("SELECT path, bytes, deleted_at FROM asset_file")
    world.import_all(context, second)
    assert world.decisions(second) == {md5("a"): "skipped:unchanged"}
    assert world.sql("SELECT sync_id FROM asset") == [(second,)]
    assert world.sql("SELECT path, bytes, deleted_at FROM asset_file") == files


@pytest.mark.parametrize("named", [True, False])
def test_at_equal_times_the_bundle_that_names_the_other_is_newer(world: World, named: bool) -> None:
    low, high = "0" * 8 + "-0000-4000-8000-" + "0" * 12, "f" * 8 + "-0000-4000-8000-" + "0" * 12
    context = world.context()
    world.put(photo("a", title="high"), sync_id=high)
    world.put(photo("a", title="low"), sync_id=low, prior_sync_id=high if named else None)
    world.import_all(context, high, low)
    assert title(world, "a") == ("low" if named else "high")
    enqueue(context, QueueRequest(high, "tester", scope=Scope.REIMPORT))
    assert world.run_next(context) == "done"
    assert title(world, "a") == ("low" if named else "high")


def test_files_and_documents_that_are_gone_are_retired_and_come_back(world: World) -> None:
    context = world.context()
    entry = photo("a", files=2)
    document = f"{entry['path']}/source/data/photo.family.json"
    first = world.put(entry, day=1)
    world.file(document, b'{"v": 1}')
    world.import_all(context, first)
    world.file(document, b'{"v": 2}')
    second = world.put(photo("a", files=1), day=2)
    world.import_all(context, second)
    assert world.sql("SELECT variant, deleted_at IS NULL FROM asset_file ORDER BY 1") == [("original", 1), ("v1", 0)]
    current = "SELECT document, is_current FROM asset_ai_run ORDER BY document"
    assert world.sql(current) == [('{"v": 1}', 0), ('{"v": 2}', 1)]
    world.file(document, b'{"v": 1}')
    third = world.put(photo("a", files=2), day=3)
    world.import_all(context, third)
    assert world.sql(current) == [('{"v": 1}', 1), ('{"v": 2}', 0)]
    assert world.one("SELECT COUNT(*) FROM asset_file WHERE deleted_at IS NULL") == 2


def test_documents_alone_make_a_difference(world: World) -> None:
    context = world.context()
    first, second = world.put(photo("a"), day=1), world.put(photo("a"), day=2)
    world.import_all(context, first)
    world.file(f"{photo('a')['path']}/source/data/photo.family.json", b"{}")
    world.import_all(context, second)
    assert world.decisions(second) == {md5("a"): "updated"}


def test_a_known_hash_under_another_type_fails_alone(world: World) -> None:
    context = world.context()
    first = world.put(photo("a"))
    second = world.put({"type": "video", "hash": md5("a")}, photo("b"), day=2)
    world.import_all(context, first, second)
    assert world.decisions(second) == {md5("a"): "failed:type_conflict", md5("b"): "created"}
    assert world.status(second) == "partial"


def test_a_replaced_manifest_is_noticed_and_its_changes_imported(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"), photo("c"), day=1)
    world.import_all(context, sync_id)
    world.put(photo("a"), photo("b", title="changed"), photo("d"), sync_id=sync_id, day=1)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "new"
    assert world.decisions(sync_id) == {md5("a"): "created", md5("b"): "pending", md5("d"): "pending"}
    world.import_all(context, sync_id)
    assert world.decisions(sync_id) == {md5("a"): "created", md5("b"): "updated", md5("d"): "created"}
    assert title(world, "b") == "changed"
    assert world.status(sync_id) == "imported"
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert kinds.count("manifest_changed") == 1
    assert world.one("SELECT items_total FROM import_job ORDER BY id DESC LIMIT 1") == 3


def test_a_manifest_replaced_while_queued_is_planned_again_at_consumption(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), day=1)
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    world.put(photo("b"), sync_id=sync_id, day=1)
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("b"): "created"}
    changed = dict(world.events(sync_id))["manifest_changed"]
    assert changed["to_sha256"] == world.one("SELECT manifest_sha256 FROM ingest_batch")
    assert world.sql("SELECT hash FROM asset") == [(md5("b"),)]


def test_bad_items_fail_alone_and_say_why(world: World) -> None:
    context = world.context()
    good = photo("good")
    sized, missing = photo("sized"), photo("missing")
    outside = {**photo("outside"), "path": "../outside", "files": []}
    sync_id = world.put(good, sized, missing, outside, {"hash": 7}, "nonsense", photo("twice"), photo("twice"))
    (world.root / sized["path"] / "0.jpg").write_bytes(b"")
    (world.root / missing["path"] / "0.jpg").unlink()
    world.import_all(context, sync_id)
    assert world.decisions(sync_id) == {
        md5("good"): "created",
        md5("sized"): "failed:file_size_mismatch",
        md5("missing"): "failed:file_missing",
        md5("outside"): "failed:path_outside_root",
        "#4": "failed:bad_entry",
        "#5": "failed:bad_entry",
        md5("twice"): "created",
    }
    assert world.status(sync_id) == "partial"
    assert world.one("SELECT last_error FROM ingest_batch") == "5 items failed"
    assert all(error for (error,) in world.sql("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'"))
    (world.root / missing["path"] / "0.jpg").write_bytes(b"x" * 10)
    world.import_all(context, sync_id)
    assert world.decisions(sync_id)[md5("missing")] == "created"


def test_an_item_the_database_refuses_stands_alone_in_the_end(world: World) -> None:
    context = world.context()
    sync_id = world.put(*(photo(f"p{i}") for i in range(20)))
    world.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON asset FOR EACH ROW IF NEW.title = 'p7' THEN SET NEW.hash = NULL; END IF"
    )
    try:
        world.import_all(context, sync_id)
    finally:
        world.sql("DROP TRIGGER refuse")
    decisions = world.decisions(sync_id)
    assert decisions.pop(md5("p7")) == "failed:database_refused"
    assert set(decisions.values()) == {"created"}
    assert world.one("SELECT COUNT(*) FROM asset") == 19
    events = [kind for kind, _ in world.events(sync_id) if kind.startswith("item_")]
    assert sorted(events) == ["item_created"] * 19 + ["item_failed"]

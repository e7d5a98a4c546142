"""Galleries and collections are written many in a transaction; only the one at fault fails, and each has one event."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingestd.pipeline.importer import container_writer, member_writer, suspects
from ingestd.pipeline.importer.containers_importer import ContainersImporter
from ingestd.store import library
from support.logged import logged_by
from support.removals import container, live, names, queue
from support.wait import until
from support.world import World, md5, owner_cursor, photo, sample

SITE_RULE = (
    "CREATE TRIGGER site_rule BEFORE INSERT ON asset_gallery FOR EACH ROW"
    " IF NEW.title = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such title'; END IF"
)
LISTED = names(100, "g")


class Crash(BaseException):
    """The process ends."""


def commits(world: World) -> int:
    return int(
        world.one("SELECT variable_value FROM information_schema.global_status WHERE variable_name = %s", "COM_COMMIT")
    )


def rows_read(world: World) -> int:
    rows = world.sql("SHOW GLOBAL STATUS LIKE 'Handler_read%%'")
    return sum(int(value) for _, value in rows)


def recorded(world: World, sync_id: str) -> list[tuple[str, str]]:
    """The events of containers: type and hash, in order."""
    events = world.events(sync_id)
    return [(kind, event["hash"]) for kind, event in events if event["phase"] == "container_import"]


def test_many_galleries_take_few_transactions(world: World) -> None:
    context = world.context(worker={"chunk_items": 50})
    sync_id = world.put(photo("a"), photo("b"), containers=[container(name, ["b", "a"]) for name in LISTED])
    world.scan(context)
    queue(context, sync_id)
    before = commits(world)
    assert world.run_next(context) == "done"
    assert commits(world) - before == 6, "claim, plan, items, two of containers, end"
    assert recorded(world, sync_id) == [("container_created", md5(name)) for name in LISTED]
    assert live(world, "asset_gallery_item") == 200
    assert world.sql("SELECT DISTINCT a.title, i.position FROM asset_gallery_item i JOIN asset a ON a.id = i.asset_id"
                     " ORDER BY 2") == [("b", 0), ("a", 1)]  # fmt: skip


def test_one_refused_gallery_of_a_hundred_fails_alone(world: World) -> None:
    lists = [container(name, ["a"], title="bad" if name == "g57" else "good") for name in LISTED]
    sync_id, context = world.put(photo("a"), containers=lists), world.context()
    world.sql(SITE_RULE)
    try:
        assert world.import_all(context, sync_id) == ["done"]
    finally:
        world.sql("DROP TRIGGER site_rule")
    expected = [("container_failed" if name == "g57" else "container_created", md5(name)) for name in LISTED]
    assert recorded(world, sync_id) == expected
    assert world.sql("SELECT hash, reason FROM ingest_batch_container WHERE decision = 'failed'") == [
        (md5("g57"), "database_refused")
    ]
    assert (live(world, "asset_gallery"), world.status(sync_id)) == (99, "partial")
    assert sample(context, "item_failures_total", reason="database_refused") == 1


def test_a_suspect_fails_once_others_of_its_batch_passed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "PAUSE", 0.01)
    real, odd = container_writer.write_rows, {md5("g3"), md5("g98")}

    def faulty(tx: Any, bundle: Any, containers: Sequence[Any]) -> Any:
        if not odd.isdisjoint(one.hash for one in containers):
            raise IndexError("odd")
        return real(tx, bundle, list(containers))

    monkeypatch.setattr(container_writer, "write_rows", faulty)
    sync_id, context = world.put(photo("a"), containers=[container(name, ["a"]) for name in LISTED]), world.context()
    assert world.import_all(context, sync_id) == ["done"]
    failed = [hash_ for kind, hash_ in recorded(world, sync_id) if kind == "container_failed"]
    assert (failed, live(world, "asset_gallery")) == ([md5("g3"), md5("g98")], 98)


def test_a_crash_between_two_batches_repeats_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context(worker={"chunk_items": 30})
    sync_id = world.put(photo("a"), containers=[container(name, ["a"]) for name in LISTED])
    world.scan(context)
    queue(context, sync_id)
    real = ContainersImporter._write
    written: list[Any] = []

    def crashing(self: ContainersImporter, batch: Any) -> None:
        if len(written) == 2:
            raise Crash
        real(self, batch)
        written.append(batch)

    with monkeypatch.context() as patch:
        patch.setattr(ContainersImporter, "_write", crashing)
        with pytest.raises(Crash):
            world.run_next(context)
    assert live(world, "asset_gallery") == 60
    world.sql("UPDATE import_job SET state = 'queued'")
    assert world.run_next(context) == "done"
    assert recorded(world, sync_id) == [("container_created", md5(name)) for name in LISTED]
    assert world.status(sync_id) == "imported"


def test_a_run_after_a_crash_takes_containers_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), containers=[container(name, ["a"]) for name in LISTED[:30]])
    world.scan(context)
    queue(context, sync_id)
    world.sql("UPDATE import_job SET isolate_items = 1")
    sizes: list[int] = []
    real = container_writer.write_rows

    def write_rows(tx: Any, bundle: Any, containers: Any) -> Any:
        sizes.append(len(containers))
        return real(tx, bundle, containers)

    monkeypatch.setattr(container_writer, "write_rows", write_rows)
    assert world.run_next(context) == "done"
    assert sizes == [1] * 30


def test_lists_with_many_members_share_no_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many members a complete list takes away is known only when they are read."""
    context, listed = world.context(), [container(name, names(3)) for name in LISTED[:30]]
    assert world.import_all(context, world.put(*map(photo, names(3)), containers=listed)) == ["done"]
    monkeypatch.setattr(member_writer, "MAX_STORED", 10)
    emptying = [container(name, [], complete=True) for name in LISTED[:30]]
    sync_id = world.put(action="update", day=2, containers=emptying)
    logged = logged_by(suspects, monkeypatch)
    assert world.import_all(context, sync_id) == ["done"]
    assert (live(world, "asset_gallery_item"), logged.lines) == (0, [])
    assert [kind for kind, _ in recorded(world, sync_id)] == ["container_updated"] * 30


@pytest.mark.parametrize("kind", ["gallery", "collection"])
def test_a_delta_reads_and_locks_only_what_it_names(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    context, many = world.context(), names(2_000)
    world.sql(
        "INSERT INTO asset (asset_type, hash, title, path, synced_at, sync_id, created_at, updated_at)"
        " SELECT 'photo', MD5(CONCAT('p', seq)), seq, seq, '2026-04-01', UUID(), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)"
        " FROM seq_0_to_2000"
    )
    lists = [container("small", many[:10], kind), container("large", many, kind)]
    assert world.import_all(context, world.put(day=1, containers=lists)) == ["done"]
    world.sql(f"ANALYZE TABLE asset_{kind}_item, asset")
    real, locked = library.write_members, []

    def write_members(*arguments: Any) -> None:
        real(*arguments)
        locked.append(world.one("SELECT MAX(trx_rows_locked) FROM information_schema.innodb_trx"))

    monkeypatch.setattr(library, "write_members", write_members)
    read = []
    for name in ("small", "large"):
        sync_id = world.put(action="update", day=2, containers=[container(name, ["p2000", "p3"], kind)])
        world.scan(context)
        queue(context, sync_id)
        before = rows_read(world)
        assert world.run_next(context) == "done"
        read.append(rows_read(world) - before)
        assert recorded(world, sync_id) == [("container_updated", md5(name))]
    assert abs(read[1] - read[0]) < 50, read
    assert max(locked) - min(locked) <= 5, locked


def test_two_workers_write_the_same_galleries_at_once(world: World) -> None:
    contexts = [world.context(worker={"chunk_items": 100}) for _ in range(2)]
    assert world.import_all(contexts[0], world.put(*map(photo, names(50)))) == ["done"]
    lists = [container(name, [], kind) for kind in ("gallery", "collection") for name in LISTED]
    assert world.import_all(contexts[0], world.put(day=1, containers=lists)) == ["done"]
    bundles = []
    for number in range(4):
        shown = names(50)[number:] + names(50)[:number]
        lists = [container(name, shown[::-1] if number % 2 else shown, kind)
                 for kind in ("gallery", "collection") for name in LISTED]  # fmt: skip
        bundles.append(world.put(action="update", day=2 + number, containers=lists[::-1] if number % 2 else lists))
    world.scan(contexts[0])
    for sync_id in bundles:
        queue(contexts[0], sync_id)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda slot: _run_all(world, contexts[slot], slot), range(2)))
    assert [one for of_worker in outcomes for one in of_worker] == ["done"] * 4
    newest = names(50)[3:] + names(50)[:3]
    rows = world.sql(
        "SELECT DISTINCT a.title, i.position FROM asset_gallery_item i JOIN asset a ON a.id = i.asset_id ORDER BY 2"
    )
    assert [title for title, _ in rows] == newest[::-1]


def _run_all(world: World, context: Any, slot: int) -> list[str]:
    """Runs until nothing is queued: a claim may find none, although another job is."""
    done = []
    while world.one("SELECT COUNT(*) FROM import_job WHERE state = 'queued'"):
        if (outcome := world.run_next(context, slot)) is not None:
            done.append(outcome)
    return done


@pytest.mark.parametrize("table", ["asset_collection", "asset_gallery", "asset"])
def test_locks_are_taken_in_order_of_hash(world: World, table: str) -> None:
    """While one row is locked by another, a batch holds the rows before it, and none behind it."""
    context, members = world.context(), sorted(names(30), key=md5)
    assert world.import_all(context, world.put(*map(photo, members))) == ["done"]
    lists = [container(name, [], kind) for kind in ("gallery", "collection") for name in LISTED[:30]]
    assert world.import_all(context, world.put(day=1, containers=lists)) == ["done"]
    lists = [container(name, [members[-number - 1]], kind)
             for kind in ("gallery", "collection") for number, name in enumerate(LISTED[:30])]  # fmt: skip
    update = world.put(action="update", day=2, containers=lists)
    world.scan(context)
    queue(context, update)
    hashes = [hash_ for (hash_,) in world.sql(f"SELECT hash FROM {table} ORDER BY hash")]
    with ThreadPoolExecutor(1) as pool, owner_cursor(world.server.owner_settings()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT hash FROM {table} WHERE hash = %s FOR UPDATE", (hashes[20],))
        run = pool.submit(world.run_next, context)
        until(lambda: int(world.sql("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")[0][1]))
        free = world.sql(f"SELECT hash FROM {table} FORCE INDEX (hash) FOR UPDATE SKIP LOCKED")
        cursor.execute("ROLLBACK")
        assert run.result() == "done"
    assert sorted(hash_ for (hash_,) in free) == hashes[21:]

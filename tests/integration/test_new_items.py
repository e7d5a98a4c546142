"""Items of a large new bundle have no rows before they are decided: each is written once, with the same result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.errors import LeaseLost, Stopping
from ingestd.pipeline import cancelling
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import chunk_writer, opening
from ingestd.pipeline.importer.suspects import Suspects
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.new_items import LOOK_UP, STEP, context_of, queued
from support.order_world import SYNC_ID, seen
from support.removals import run_automatically
from support.steps import in_steps
from support.world import World, cover, empty, md5, photo

NAMES = (*"abcdefghijklmnopqrx", "named")
WRITTEN = (
    "SELECT asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id FROM asset ORDER BY id",
    "SELECT variant, path, bytes, sha256, synced_at, sync_id FROM asset_file ORDER BY asset_id, variant",
    "SELECT state, items_done, items_total, has_reset_items FROM import_job ORDER BY id",
    "SELECT decision, reason, items FROM ingest_batch_tally WHERE items > 0 ORDER BY batch_id, decision, reason",
    "SELECT ordinal, asset_type, asset_hash, cover_hash, entry_sha256, in_manifest, decision, reason, waiting_for,"
    " last_error, (SELECT hash FROM asset WHERE id = asset_id) FROM ingest_batch_item ORDER BY batch_id, ordinal",
    "SELECT status, plan_sha256 = manifest_sha256, last_error, imported_version_at FROM ingest_batch ORDER BY id",
)
VOLATILE = ("job_id", "worker_id", "manifest_sha256", "target_ids")
CHANGES_OF_ITEMS = ("UPDATE ingest_batch_item", "STRAIGHT_JOIN ingest_batch_item i ON i.id = j.id")


@pytest.fixture
def context(world: World) -> Context:
    return context_of(world)


@pytest.fixture(autouse=True)
def as_large() -> Iterator[None]:
    with in_steps():
        yield


@contextmanager
def staged() -> Iterator[None]:
    """All rows are written before the first item is imported, as where something needs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "may_have_new_items", lambda *_arguments: False)
        yield


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def events_of(world: World, sync_id: str) -> list[tuple[str, dict[str, Any]]]:
    events = world.events(sync_id)
    return [(kind, {key: value for key, value in payload.items() if key not in VOLATILE}) for kind, payload in events]


def new(world: World) -> str:
    """Good ones, and such as fail: for their entry, as duplicates, for another type, without a file."""
    lost = photo("f")
    items = [
        *map(photo, "abcde"), lost, photo("g", type="!"), {"type": "photo"}, photo("h", cover_hash=md5("named")),
        photo("i"), photo("i"), photo("k"), photo("k", title="Other"), photo("l"), photo("l", type="video"),
    ]  # fmt: skip
    sync_id = world.put(*items, sync_id=SYNC_ID.format(1), day=2)
    (world.root / lost["path"] / lost["files"][0]["path"]).unlink()
    return sync_id


def known_with_failures(world: World) -> str:
    """Known items: unchanged and changed ones, and in between such as fail, and one that is new."""
    lost = photo("c", files=2)
    items = [photo("a"), photo("b", type="video"), lost, photo("d"), photo("e", title="Newer"), photo("r"), photo("m")]
    sync_id = world.put(*items, photo("n", title="1"), photo("n", title="2"), sync_id=SYNC_ID.format(9), day=7)
    (world.root / lost["path"] / lost["files"][1]["path"]).unlink()
    return sync_id


BUNDLES: list[Callable[[World], str]] = [
    new,
    # Known and unknown ones: unchanged, changed, of another type, superseded and linked
    lambda world: world.put(*map(photo, "abcdmno"), photo("e", title="New"), sync_id=SYNC_ID.format(2), day=3),
    lambda world: world.put(photo("a", title="Old"), photo("p"), photo("b", type="video"), sync_id=SYNC_ID.format(3)),
    lambda world: world.put(
        photo("c", title="Old", cover_hash=md5("x")), photo("d", files=0), sync_id=SYNC_ID.format(4)
    ),
    # Most unchanged, in the order of before and in another; listed twice; by older, later and equally late bundles
    lambda world: world.put(*map(photo, "abcdmno"), sync_id=SYNC_ID.format(5), day=5),
    lambda world: world.put(*map(photo, "onpmdmcba"), photo("q"), sync_id=SYNC_ID.format(6), day=6),
    lambda world: world.put(*map(photo, "abcdmnopq"), photo("e"), sync_id=SYNC_ID.format(7), day=6),
    lambda world: world.put(*map(photo, "abcdemnop"), sync_id=SYNC_ID.format(8), day=2),
    known_with_failures,
    lambda world: world.put(*map(photo, "bd"), action="remove", sync_id=SYNC_ID.format(10), day=8),
    # Two that were removed return; one names a cover
    lambda world: world.put(
        *map(photo, "abcdemn"), photo("o", cover_hash=md5("x")), photo("p"), sync_id=SYNC_ID.format(11), day=9
    ),
]


def test_the_result_is_that_of_rows_that_were_staged(world: World, context: Context) -> None:
    results = []
    for way in (staged, in_steps):
        empty(world)
        for name in (world.root / "sync").iterdir():
            name.unlink()
        sync_ids = []
        with way():
            for bundle in BUNDLES:
                sync_ids.append(bundle(world))
                world.scan(context)
                run_automatically(world, context)
        assert world.tallies() == world.counted()
        results.append(
            [seen(world, NAMES), *map(world.sql, WRITTEN), *(events_of(world, sync_id) for sync_id in sync_ids)]
        )
    for one, other in zip(*results, strict=True):
        assert one == other


def test_each_row_is_written_once(world: World, context: Context, statements: list[str]) -> None:
    sync_id = queued(world, context, *map(photo, "abcdefghij"))
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}
    assert not [text for text in statements if any(change in text for change in CHANGES_OF_ITEMS)]
    with staged():
        queued(world, context, *map(photo, "klmno"))
        assert world.run_next(context) == "done"
    assert [text for text in statements if any(change in text for change in CHANGES_OF_ITEMS)], "the test sees them"


SELECTS = "FROM ingest_batch_item FORCE INDEX (by_ordinal)\n  WHERE batch_id"


def test_new_assets_are_looked_up_once_and_no_items_are(world: World, context: Context, statements: list[str]) -> None:
    queued(world, context, *map(photo, "abcdefgh"))
    statements.clear()
    assert world.run_next(context) == "done"
    assert sum(LOOK_UP in text for text in statements) == 4, "one for each step of the plan"
    assert not any(SELECTS in text for text in statements)


def test_the_server_looks_for_open_items_as_often_as_there_are_some(
    world: World, context: Context, statements: list[str]
) -> None:
    with staged():
        queued(world, context, *map(photo, "abcdef"))
        assert world.run_next(context) == "done"
    assert sum(SELECTS in text for text in statements) == 2, "4 of them, then 2, and no covers"


@pytest.mark.parametrize(
    "more",
    [
        {"action": "remove"},
        {"containers": [{"type": "gallery", "hash": md5("g"), "title": "G", "items": []}]},
        {"items": (cover("c", "a"),)},
        {"items": (photo("known", files=1),), "day": 3},
    ],
)
def test_bundles_of_more_than_new_items_are_staged(
    world: World, context: Context, statements: list[str], more: dict[str, Any]
) -> None:
    """The last one takes a file of a known asset out of sight."""
    queued(world, context, photo("known", files=2), day=2)
    assert world.run_next(context) == "done"
    statements.clear()
    queued(world, context, *map(photo, "abc"), *more.pop("items", ()), **more)
    assert world.run_next(context) == "done"
    assert [text for text in statements if any(change in text for change in CHANGES_OF_ITEMS)]


def test_a_removal_beyond_the_limit_is_refused_before_anything_is_imported(world: World) -> None:
    context = world.context(worker={"chunk_items": STEP}, queue={"auto": ["create", "update"], "removal_limit": 0})
    queued(world, context, photo("known", files=2), day=2)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "abcdefgh"), photo("known", files=1), day=3)
    assert world.run_next(context) == "failed"
    assert world.status(sync_id) == "held"
    assert world.one("SELECT COUNT(*) FROM asset WHERE %s", 1) == 1


@contextmanager
def interrupted(step: int, error: Exception) -> Iterator[None]:
    """The run ends at some chunk, in its transaction."""
    real, steps = chunk_writer.write, iter(range(1, 1000))

    def write(*arguments: Any) -> Any:
        written = real(*arguments)
        if next(steps) == step:
            raise error
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_writer, "write", write)
        yield


@pytest.mark.parametrize("step", [1, 2, 3])
def test_after_a_crash_the_rest_is_imported(world: World, context: Context, step: int) -> None:
    names = "abcdefghij"
    sync_id = queued(world, context, *map(photo, names))
    with interrupted(step, LeaseLost("killed")):
        assert world.run_next(context) == "lost"
    assert world.one("SELECT COUNT(*) FROM ingest_batch_item") == (step - 1) * STEP
    assert world.tallies() == world.counted()
    assert world.one("SELECT plan_sha256 FROM ingest_batch") is None
    world.sql("UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE %s", 1)
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
    assert set(world.decisions(sync_id).values()) == {"created"}
    assert kinds(world, sync_id).count("item_created") == len(names)
    assert kinds(world, sync_id).count("import_started") == 2
    assert world.tallies() == world.counted()


def test_what_was_left_of_a_cancelled_job_is_imported_by_the_next(world: World, context: Context) -> None:
    """Meanwhile the batch does not count as imported, though all that has a row is."""
    sync_id = queued(world, context, *map(photo, "abcdefghij"))
    with interrupted(2, Stopping("the daemon is stopping")):
        assert world.run_next(context) == "released"
    assert world.status(sync_id) == "queued"
    cancelling.cancel(context, sync_id, "tester")
    assert world.status(sync_id) == "new"
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}
    assert len(world.decisions(sync_id)) == 10


def test_a_run_that_fails_says_what_remains(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_id = queued(world, context, *map(photo, "abcdefghij"))

    def passed(_self: Suspects) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr(Suspects, "passed", passed)
    assert world.run_next(context) == "failed"
    ((_, payload),) = [event for event in world.events(sync_id) if event[0] == "job_finished"]
    assert payload["summary"]["summary"]["remaining"] == 10 - STEP


def test_a_run_that_lost_its_job_ends_when_it_meets_the_next_one(world: World, context: Context) -> None:
    """It wakes up after another run has imported all of it; then nothing is tried piece by piece."""
    sync_id = queued(world, context, *map(photo, "abcdefgh"))
    real, lengths, other = chunk_writer.write, [], iter([world.context()])

    def write(*arguments: Any) -> Any:
        lengths.append(len(arguments[2].items))
        if (taker := next(other, None)) is not None:
            world.sql("UPDATE import_job SET state = 'queued', claim_token = claim_token + 1 WHERE %s", 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(chunk_writer, "write", real)
                assert world.run_next(taker) == "done"
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_writer, "write", write)
        assert world.run_next(context) == "lost"
    assert lengths == [STEP]
    assert kinds(world, sync_id).count("item_created") == 8

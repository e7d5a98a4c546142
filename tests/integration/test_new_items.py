"""Items of a large new bundle have no rows before they are decided: each is written once, with the same result."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from ingestd.errors import LeaseLost, Stopping
from ingestd.model import Version
from ingestd.mount.reader import ItemReader
from ingestd.pipeline import cancelling, delivery, plan_steps
from ingestd.pipeline.context import Context
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.importer import chunk_rows, chunk_source, chunk_writer, opening, prepared_chunk
from ingestd.pipeline.importer.suspects import Suspects
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store.connection import Connection
from support.order_world import SYNC_ID, seen
from support.removals import run_automatically
from support.steps import in_steps
from support.world import World, cover, empty, md5, photo

STEP = 4
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
    return world.context(worker={"chunk_items": STEP}, queue={"auto": ["create", "update", "remove"]})


@pytest.fixture(autouse=True)
def as_large() -> Iterator[None]:
    with in_steps():
        yield


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the server."""
    sent: list[str] = []
    real = Connection.query

    def query(self: Connection, sql: str | bytes, *more: Any) -> int:
        sent.append(sql if isinstance(sql, str) else sql.decode())
        return real(self, sql, *more)

    monkeypatch.setattr(Connection, "query", query)
    return sent


@contextmanager
def staged() -> Iterator[None]:
    """All rows are written before the first item is imported, as where something needs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "may_have_new_items", lambda *_arguments: False)
        yield


def queued(world: World, context: Context, *items: Any, **options: Any) -> str:
    sync_id = world.put(*items, **options)
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    return sync_id


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


LOOK_UP = "STRAIGHT_JOIN asset a ON a.hash = j.hash"
LOCK_RANGE = "FROM asset a FORCE INDEX (PRIMARY) WHERE a.id BETWEEN"
SELECTS = "FROM ingest_batch_item FORCE INDEX (by_ordinal)\n  WHERE batch_id"


def test_new_assets_are_looked_up_once_and_no_items_are(world: World, context: Context, statements: list[str]) -> None:
    queued(world, context, *map(photo, "abcdefgh"))
    statements.clear()
    assert world.run_next(context) == "done"
    assert sum(LOOK_UP in text for text in statements) == 4, "one for each step of the plan"
    assert not any(SELECTS in text for text in statements)


def test_known_assets_are_looked_up_once_and_locked_as_a_range(
    world: World, context: Context, statements: list[str]
) -> None:
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=2)
    statements.clear()
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"skipped:unchanged"}
    assert sum(LOOK_UP in text for text in statements) == 4, "one for each step of the plan"
    assert sum(LOCK_RANGE in text for text in statements) == 2, "one for each chunk"
    assert world.sql("SELECT DISTINCT sync_id FROM asset") == [(sync_id,)]


def test_known_assets_in_another_order_are_locked_by_their_hashes(
    world: World, context: Context, statements: list[str]
) -> None:
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "aebfcgdh"), day=2)
    statements.clear()
    assert world.run_next(context) == "done"
    locking = [text for text in statements if LOOK_UP in text and "FOR UPDATE" in text]
    assert len(locking) == 2, "one for each chunk"
    assert not any(LOCK_RANGE in text for text in statements)
    assert world.sql("SELECT DISTINCT sync_id FROM asset") == [(sync_id,)]


def test_rows_are_ready_when_they_are_written(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """New and known assets, with documents: the thread that reads ahead has encoded all of them."""
    queued(world, context, *map(photo, "abcdef"), day=1)
    assert world.run_next(context) == "done"
    real, writers = chunk_rows.of, []

    def of(*arguments: Any) -> Any:
        writers.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(chunk_rows, "of", of)
    for name in "ghi":
        world.file(f"{photo(name)['path']}/source/source.json", b'{"a": 1}')
    sync_id = queued(world, context, *map(photo, "abcdefghijkl"), day=2)
    assert world.run_next(context) == "done"
    assert writers == ["prefetch_0"] * 3, "one for each chunk"
    assert Counter(world.decisions(sync_id).values()) == {"skipped:unchanged": 6, "created": 6}
    assert world.one("SELECT COUNT(*) FROM asset_source") == 3


def test_the_next_items_are_read_while_a_chunk_is_decided(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk is decided once the second has been read."""
    queued(world, context, *map(photo, "abcdefgh"))
    real, read = ItemReader.read_once, threading.Semaphore(0)
    awaited = iter([2, 0])

    def read_once(*arguments: Any) -> Any:
        found = real(*arguments)
        read.release()
        return found

    def prepare_chunk(*arguments: Any) -> Any:
        for _ in range(next(awaited)):
            assert read.acquire(timeout=60), "the second is not read"
        return prepared_chunk.prepare_chunk(*arguments)

    monkeypatch.setattr(ItemReader, "read_once", read_once)
    monkeypatch.setattr(chunk_source, "prepare_chunk", prepare_chunk)
    assert world.run_next(context) == "done"


def test_the_next_assets_are_looked_up_while_a_part_is_forecast(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part is forecast once the second has been looked up."""
    queued(world, context, *map(photo, "abcd"))
    look_up, forecast, awaited = FoundAssets.look_up, FoundAssets.forecast, iter([2, 0])
    looked_up = threading.Semaphore(0)

    def counted(*arguments: Any, **options: Any) -> str:
        found = look_up(*arguments, **options)
        looked_up.release()
        return found

    def waiting(*arguments: Any, **options: Any) -> Any:
        for _ in range(next(awaited)):
            assert looked_up.acquire(timeout=60), "the second is not looked up"
        return forecast(*arguments, **options)

    monkeypatch.setattr(FoundAssets, "look_up", counted)
    monkeypatch.setattr(FoundAssets, "forecast", waiting)
    assert world.run_next(context) == "done"


def test_the_server_looks_for_open_items_as_often_as_there_are_some(
    world: World, context: Context, statements: list[str]
) -> None:
    with staged():
        queued(world, context, *map(photo, "abcdef"))
        assert world.run_next(context) == "done"
    assert sum(SELECTS in text for text in statements) == 2, "4 of them, then 2, and no covers"


def test_an_asset_that_came_since_the_plan_is_found(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=2)
    real = plan_steps.foresee

    def foresee(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(plan_steps, "foresee", real)
        assert world.import_all(world.context(), world.put(photo("c"), photo("d", title="Other"))) == ["done"]
        return found

    monkeypatch.setattr(plan_steps, "foresee", foresee)
    assert world.run_next(context) == "done"
    names = {md5(name): name for name in "abcdefgh"}
    decided = {names[hash_]: decision for hash_, decision in world.decisions(sync_id).items()}
    assert decided == dict.fromkeys("abefgh", "created") | {"c": "skipped:unchanged", "d": "updated"}
    assert world.tallies() == world.counted()


def test_an_asset_that_was_changed_since_the_plan_is_compared(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an older bundle, a newer one, and by a removal."""
    queued(world, context, *map(photo, "abcdefgh"), day=1)
    assert world.run_next(context) == "done"
    sync_id = queued(world, context, *map(photo, "abcdefgh"), day=3)
    real = plan_steps.foresee

    def foresee(*arguments: Any) -> Any:
        found = real(*arguments)
        monkeypatch.setattr(plan_steps, "foresee", real)
        for bundle in (
            world.put(photo("b", title="Old"), day=2),
            world.put(photo("c", title="New"), day=4),
            world.put(photo("f"), action="remove", day=2),
        ):
            assert world.import_all(world.context(), bundle) == ["done"]
        return found

    monkeypatch.setattr(plan_steps, "foresee", foresee)
    assert world.run_next(context) == "done"
    names = {md5(name): name for name in "abcdefgh"}
    decided = {names[hash_]: decision for hash_, decision in world.decisions(sync_id).items()}
    others = {"b": "updated", "c": "skipped:superseded", "f": "updated"}
    assert decided == dict.fromkeys("abcdefgh", "skipped:unchanged") | others
    assert world.tallies() == world.counted()


def test_parts_may_be_found_in_any_order(world: World, context: Context) -> None:
    """One that the thread ahead read in vain is read after the next one."""
    queued(world, context, *map(photo, "abcdef"), day=1)
    assert world.run_next(context) == "done"
    sync_id = world.put(*map(photo, "abcdef"), day=2)
    manifest = delivery.read(context, sync_id).manifest
    assert manifest is not None
    found = FoundAssets(Bundle(manifest.action, Version(manifest.completed_at, sync_id), manifest.index))
    entries = list(manifest.standing())
    parts = [entries[:2], entries[2:4], entries[4:]]
    for part in (parts[0], parts[2], parts[1]):
        context.db.read(partial(found.forecast, entries=part))
    for part in parts:
        known = context.db.read(partial(found.state, entries=part)).assets
        assert known.keys() == {entry.asset_hash for entry in part}


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

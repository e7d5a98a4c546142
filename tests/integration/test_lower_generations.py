"""Bundles of one time of which one follows fewer than before: what was older than it until then is imported again."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ingestd.pipeline import placing
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import MAX_PLACED, Sweeper
from ingestd.store import batch, versions
from ingestd.store.db import Tx
from support.equal_times import NEWER, OLDER, PRIOR, jobs, put, sweep, title, unplaced
from support.order_world import sync_id_of
from support.plans import rows_touched
from support.world import World, photo

LATER, EARLIER = "2026-04-02T12:00:00Z", "2026-03-31T12:00:00Z"


def put_imported(world: World, count: int, *, at: str) -> None:
    """Batches that follow one; `at` is SQL, by the number `seq`."""
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, discovered_at, manifest_completed_at, imported_version_at,"
        " imported_generation, imported_revision, prior_sync_id, is_placed)"
        f" SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6), {at}, {at}, 1, 0, %s, 1 FROM seq_1_to_{count}",
        PRIOR,
    )


Change = Callable[[World], object]


def open_times(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM ingest_order WHERE is_placed = %s", 0))


def import_three(world: World, context: Context) -> None:
    put(world, PRIOR)
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, PRIOR, OLDER, NEWER)
    assert title(world) == "of the follower"
    assert sweep(world, context) == unplaced(world) == 0


CHANGES: dict[str, Change] = {
    "its prior moves to a later time": lambda world: put(world, PRIOR, completed_at=LATER),
    "it names no prior any more": lambda world: put(world, OLDER, photo("a", title="of the follower")),
    "it names itself": lambda world: put(world, OLDER, photo("a", title="of the follower"), prior=OLDER),
    "it names one of another time": lambda world: put(
        world, OLDER, photo("a", title="of the follower"), prior=put(world, sync_id_of("9"), completed_at=EARLIER)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_other_is_newer_from_then_on(world: World, change: str) -> None:
    context = world.context()
    import_three(world, context)
    CHANGES[change](world)
    world.scan(context)
    assert sweep(world, context) > 0
    assert title(world) == "of the other"
    assert jobs(world, NEWER)[-1] == ("ingestd", "reimport", "done")
    assert sweep(world, context) == unplaced(world) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_of_the_follower_does_not_hide_it(world: World, change: str) -> None:
    """It is imported again, with the lower generation, before any sweep has seen that."""
    context = world.context()
    import_three(world, context)
    CHANGES[change](world)
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the other"
    assert sweep(world, context) == unplaced(world) == 0


def test_a_prior_that_comes_back_makes_the_follower_newer_again(world: World) -> None:
    context = world.context()
    import_three(world, context)
    put(world, OLDER, photo("a", title="of the follower"))
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the other"
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the follower"
    assert unplaced(world) == 0


def test_a_manifest_that_is_invalid_for_a_while_changes_the_order_for_that_time(world: World) -> None:
    context = world.context()
    for name, prior in {"4": None, "3": "4", "1": "3", "5": None, "2": "5"}.items():
        put(world, sync_id_of(name), photo("a", title=name), prior=prior and sync_id_of(prior))
        world.import_all(context, sync_id_of(name))
    sweep(world, context)
    assert title(world) == "1"
    manifest = world.root / f"sync/{sync_id_of('3')}.json"
    valid = manifest.read_bytes()
    for content, newest in ((b"{}", "2"), (valid, "1")):
        manifest.write_bytes(content)
        world.scan(context)
        sweep(world, context)
        assert title(world) == newest
        assert unplaced(world) == 0


def test_all_of_a_chain_may_become_older(world: World) -> None:
    """Of 3 ← 1 ← 0 and 7 ← 5, the last of the longer chain was newer than that of the shorter one."""
    context = world.context()
    chains = {"3": None, "1": "3", "0": "1", "7": None, "5": "7"}
    for name, prior in chains.items():
        put(world, sync_id_of(name), photo("a", title=name), prior=prior and sync_id_of(prior))
    world.import_all(context, *map(sync_id_of, chains))
    assert title(world) == "0"
    put(world, sync_id_of("3"), photo("b", files=0), completed_at=LATER)
    world.import_all(context, sync_id_of("3"))
    sweep(world, context)
    assert world.one("SELECT title FROM asset WHERE title IN (%s, '5', '1')", "0") == "5"
    assert unplaced(world) == 0


def test_a_circle_that_opens_is_a_chain(world: World) -> None:
    context = world.context()
    put(world, OLDER, photo("a", title="first"), prior=NEWER)
    put(world, NEWER, photo("a", title="second"), prior=OLDER)
    world.import_all(context, OLDER, NEWER)
    sweep(world, context)
    assert title(world) == "second"
    put(world, NEWER, photo("a", title="second"))
    world.import_all(context, NEWER)
    sweep(world, context)
    assert title(world) == "first"
    assert unplaced(world) == 0


@pytest.mark.parametrize("change", ["the prior moves", "the follower names none"])
def test_one_that_rises_and_falls_between_two_imports(world: World, change: str) -> None:
    """Another one is imported meanwhile, and loses against the higher generation, with which none was imported."""
    context = world.context()
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    world.import_all(context, OLDER)
    put(world, PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.scan(context)
    assert Sweeper(context).place() == 0
    world.import_all(context, NEWER)
    assert title(world) == "of the follower"
    if change == "the prior moves":
        put(world, PRIOR, completed_at=LATER)
    else:
        put(world, OLDER, photo("a", title="of the follower"))
    world.import_all(context)
    sweep(world, context)
    assert title(world) == "of the other"
    assert unplaced(world) == 0


def test_there_and_back_before_a_sweep(world: World) -> None:
    context = world.context()
    put(world, PRIOR)
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    world.import_all(context, OLDER)
    for prior in (None, PRIOR):
        put(world, OLDER, photo("a", title="of the follower"), prior=prior)
        put(world, NEWER, photo("a", title="of the other"))
        world.import_all(context, NEWER)
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the follower"
    assert unplaced(world) == 0


def test_a_follower_behind_one_that_was_only_recorded(world: World) -> None:
    """3 ← 1 ← 0 is recorded or imported, 7 ← 5 is newer than 0 once 3 has moved."""
    context = world.context()
    for name, prior in {"3": None, "1": "3", "0": "1", "7": None, "5": "7"}.items():
        put(world, sync_id_of(name), photo("a", title=name), prior=prior and sync_id_of(prior))
    world.import_all(context, *map(sync_id_of, "075"))
    assert title(world) == "0"
    put(world, sync_id_of("3"), completed_at=LATER)
    world.scan(context)
    sweep(world, context)
    assert title(world) == "5"


@pytest.mark.parametrize("sweeps_meanwhile", [False, True])
@pytest.mark.parametrize("revised_before", [False, True])
def test_one_that_is_being_imported_is_imported_again(
    world: World, *, revised_before: bool, sweeps_meanwhile: bool
) -> None:
    if revised_before:
        world.sql("INSERT INTO ingest_order VALUES ('2026-04-01 12:00:00', 1, %s, 0)", 1)
    context, elsewhere = world.context(worker={"chunk_items": 1}), world.context()
    for sync_id, prior in ((NEWER, None), (PRIOR, None), (OLDER, PRIOR)):
        items = (photo(name, title=sync_id) for name in "ab") if sync_id != PRIOR else ()
        put(world, sync_id, *items, prior=prior)
    world.import_all(context, NEWER)
    enqueue(context, QueueRequest(OLDER, "tester"))
    fenced = Fence.fenced

    def move_prior(fence: Fence, work: Any, **more: Any) -> Any:
        result = fenced(fence, work, **more)
        if more.get("done"):
            patched.undo()
            put(world, PRIOR, completed_at=LATER)
            world.scan(elsewhere)
            world.import_all(elsewhere, NEWER)
            if sweeps_meanwhile:
                assert sweep(world, elsewhere) == 0
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Fence, "fenced", move_prior)
        assert world.run_next(context) == "done"
    sweep(world, context)
    assert world.sql("SELECT DISTINCT title FROM asset") == [(NEWER,)]
    assert unplaced(world) == 0


def test_sweeps_during_runs_come_to_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has been claimed, and has not begun to import, looks like one with the former order."""
    context, elsewhere = world.context(), world.context()
    import_three(world, context)
    put(world, PRIOR, completed_at=LATER)
    world.scan(context)
    begin = versions.begin_import

    def begin_late(*arguments: Any, **more: Any) -> None:
        Sweeper(elsewhere).place()
        begin(*arguments, **more)

    monkeypatch.setattr(versions, "begin_import", begin_late)
    assert sweep(world, context) == 2
    assert title(world) == "of the other"
    assert open_times(world) == unplaced(world) == 0
    assert world.sql("SELECT revision, awaits_runs FROM ingest_order") == [(2, 0)]


def test_one_alone_at_its_time_is_left_alone(world: World) -> None:
    context = world.context()
    put(world, PRIOR)
    put(world, OLDER, photo("a"), prior=PRIOR)
    world.import_all(context, PRIOR, OLDER)
    put(world, PRIOR, completed_at=LATER)
    world.import_all(context, PRIOR)
    assert sweep(world, context) == unplaced(world) == open_times(world) == 0


def test_a_sweep_queues_no_more_than_its_limit(world: World) -> None:
    context = world.context()
    put_imported(world, 30, at="'2026-04-01' + INTERVAL seq MOD 3 HOUR")
    world.sql("INSERT INTO ingest_order (version_at) SELECT DISTINCT version_at FROM ingest_batch WHERE %s", 1)
    moved = context.db.transaction(partial(placing.place_times, limit=25))
    assert len(moved) == 25
    world.sql("UPDATE ingest_batch SET imported_revision = 2 WHERE FIND_IN_SET(sync_id, %s)", ",".join(moved))
    assert len(context.db.transaction(partial(placing.place_times, limit=25))) == 5
    world.sql("UPDATE ingest_batch SET imported_revision = 2 WHERE %s", 1)
    assert context.db.transaction(partial(placing.place_times, limit=25)) == {}
    assert open_times(world) == 0


def test_what_is_locked_is_left_to_a_later_sweep(world: World) -> None:
    context, elsewhere = world.context(), world.context()
    import_three(world, context)
    put(world, PRIOR, completed_at=LATER)
    world.scan(context)

    def sweep_meanwhile(tx: Tx) -> None:
        batch.lock(tx, NEWER)
        assert Sweeper(elsewhere).place() == 1

    context.db.transaction(sweep_meanwhile)
    assert world.run_next(context) == "done"
    assert sweep(world, context) == 1
    assert title(world) == "of the other"
    assert unplaced(world) == 0


@pytest.mark.parametrize("status", ["held", "invalid"])
def test_one_that_no_sweep_queues_keeps_no_time_open(world: World, status: str) -> None:
    context = world.context()
    import_three(world, context)
    put(world, PRIOR, completed_at=LATER)
    world.scan(context)
    world.sql("UPDATE ingest_batch SET status = %s WHERE sync_id <> %s", status, PRIOR)
    assert sweep(world, context) == 0
    assert open_times(world) == 0


def test_an_ordinary_delivery_revises_nothing(world: World) -> None:
    context = world.context()
    import_three(world, context)
    put(world, NEWER, photo("a", title="again"), completed_at=LATER)
    put(world, PRIOR, photo("b"))
    put(world, OLDER, photo("a", title="once more"), prior=PRIOR)
    world.import_all(context, NEWER, PRIOR, OLDER)
    assert world.sql("SELECT * FROM ingest_order") == []


def test_many_of_one_time_are_read_once_each(world: World) -> None:
    context = world.context()
    put_imported(world, 3000, at="'2026-04-01 12:00:00'")
    world.sql("INSERT INTO ingest_order (version_at) VALUES (%s)", "2026-04-01 12:00:00")
    assert rows_touched(context.db, partial(placing.place_times, limit=MAX_PLACED)) < 10 * MAX_PLACED
    world.sql("UPDATE ingest_order SET is_placed = 1")
    assert rows_touched(context.db, partial(placing.place_times, limit=MAX_PLACED)) < 10

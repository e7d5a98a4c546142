"""Bundles whose order becomes known late: what their jobs do then, what they remove, and how many they may be."""

from functools import partial
from typing import Any

import pytest

from ingestd.model import Scope
from ingestd.pipeline import placing, sweeps
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import MAX_PLACED, Sweeper
from support.equal_times import NEWER, OLDER, PRIOR, follow_late, jobs, put, sweep, title, unplaced
from support.plans import rows_touched
from support.refusals import refused_events
from support.world import World, cover, photo

LATER = "2026-04-02T12:00:00Z"

FEW = 100
"""batches that a sweep looks at, in a test that queues them all"""


def import_two(world: World, context: Context, *items: Any) -> None:
    """Imports two bundles of one time; the older one has `items` besides the shared asset, and follows one to come."""
    put(world, OLDER, photo("a", title="of the follower"), *items, prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, OLDER, NEWER)


def deliver_prior(world: World, context: Context) -> None:
    put(world, PRIOR)
    world.scan(context)


# what the jobs of a follower do


def test_a_queued_run_takes_the_new_order_up(world: World) -> None:
    context = world.context()
    import_two(world, context)
    enqueue(context, QueueRequest(OLDER, "tester"))
    deliver_prior(world, context)
    assert Sweeper(context).place() == unplaced(world) == 0
    assert world.run_next(context) == "done"
    assert title(world) == "of the follower"
    assert sweep(world, context) == 0


def test_a_queued_run_of_some_items_does_not_hide_the_others(world: World) -> None:
    context = world.context()
    import_two(world, context, cover("c", "later"))
    world.import_all(context, world.put(photo("later", files=0), completed_at=LATER))
    assert Sweeper(context).revive() == 1
    deliver_prior(world, context)
    assert Sweeper(context).place() == unplaced(world) == 0
    assert world.run_next(context) == "done"
    assert world.sql("SELECT title FROM asset WHERE title LIKE %s", "of %") == [("of the other",)]
    assert sweep(world, context) == 1
    assert world.sql("SELECT title FROM asset WHERE title LIKE %s", "of %") == [("of the follower",)]
    assert sweep(world, context) == unplaced(world) == 0


def test_a_run_of_some_items_by_a_person_does_not_hide_the_others(world: World) -> None:
    """Its job has failed as a whole, so that the sweep leaves it alone, until a person has some items imported."""
    context = world.context(queue={"retry_pauses": []})
    import_two(world, context, cover("c", "absent"))
    enqueue(context, QueueRequest(OLDER, "tester"))
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    deliver_prior(world, context)
    assert sweep(world, context) == unplaced(world) == 0
    enqueue(context, QueueRequest(OLDER, "tester", scope=Scope.DEFERRED))
    assert world.run_next(context) == "done"
    assert title(world) == "of the other"
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"


def test_a_failed_run_is_tried_again_in_the_new_order(world: World) -> None:
    context = world.context(queue={"retry_pauses": [0.000001]})
    import_two(world, context)
    enqueue(context, QueueRequest(OLDER, "tester"))
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    deliver_prior(world, context)
    assert sweep(world, context) == 0
    assert Sweeper(context).retry() == 1
    assert world.run_next(context) == "done"
    assert title(world) == "of the follower"
    assert sweep(world, context) == 0


@pytest.mark.parametrize("scope", [Scope.ALL, Scope.REIMPORT])
def test_a_job_that_was_cancelled_before_has_nothing_to_do_with_it(world: World, scope: Scope) -> None:
    context = world.context()
    import_two(world, context)
    enqueue(context, QueueRequest(OLDER, "tester", scope=scope))
    cancel(context, OLDER, "tester")
    deliver_prior(world, context)
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"


def test_a_job_that_would_have_taken_the_order_up_is_cancelled(world: World) -> None:
    """The sweep has seen the new order, and left it to that job."""
    context = world.context()
    import_two(world, context)
    enqueue(context, QueueRequest(OLDER, "tester"))
    deliver_prior(world, context)
    assert Sweeper(context).place() == unplaced(world) == 0
    cancel(context, OLDER, "tester")
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"
    assert sweep(world, context) == unplaced(world) == 0


def test_a_sweep_that_dies_before_it_queues_is_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    follow_late(world, context)
    with monkeypatch.context() as patched:
        patched.setattr(Sweeper, "_insert_all", lambda *_: 0)
        assert Sweeper(context).place() == 0
    assert sweep(world, context) == 1
    assert title(world) == "of the follower"


# removals


@pytest.fixture
def cautious(world: World) -> Context:
    """With two assets of which a bundle would remove more than the limit, if it were not older than another."""
    context = world.context(queue={"removal_limit": 1})
    names = ("a", "b")
    world.import_all(context, world.put(*(photo(name, files=0) for name in names), completed_at="2026-03-01T12:00:00Z"))
    return context


def put_removal(world: World) -> None:
    put(world, OLDER, photo("a", files=0), photo("b", files=0), prior=PRIOR, action="remove")


def live(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM asset WHERE deleted_at IS NULL AND %s", 1))


def test_an_approval_holds_for_the_import_in_the_new_order(world: World, cautious: Context) -> None:
    put_removal(world)
    world.scan(cautious)
    enqueue(cautious, QueueRequest(OLDER, "tester", force=True))
    assert world.run_next(cautious) == "done"
    put(world, NEWER, photo("a", files=0), photo("b", files=0))
    world.import_all(cautious, NEWER)
    assert live(world) == 2
    deliver_prior(world, cautious)
    assert sweep(world, cautious) == 1
    assert (live(world), world.status(OLDER)) == (0, "imported")
    assert sweep(world, cautious) == unplaced(world) == 0


def test_what_the_new_order_would_remove_waits_for_an_approval(world: World, cautious: Context) -> None:
    put(world, NEWER, photo("a", files=0), photo("b", files=0))
    put_removal(world)
    world.import_all(cautious, NEWER, OLDER)
    assert (live(world), world.status(OLDER)) == (2, "imported")
    deliver_prior(world, cautious)
    assert sweep(world, cautious) == 1
    assert (live(world), world.status(OLDER)) == (2, "held")
    assert sweep(world, cautious) == unplaced(world) == 0
    enqueue(cautious, QueueRequest(OLDER, "tester", force=True))
    assert world.run_next(cautious) == "done"
    assert (live(world), world.status(OLDER)) == (0, "imported")
    assert sweep(world, cautious) == unplaced(world) == 0


@pytest.mark.parametrize("status", ["held", "invalid"])
def test_a_follower_that_no_sweep_queues_is_looked_at_once(world: World, status: str) -> None:
    context = world.context()
    import_two(world, context)
    world.sql("UPDATE ingest_batch SET status = %s WHERE sync_id = %s", status, OLDER)
    deliver_prior(world, context)
    assert sweep(world, context) == unplaced(world) == 0


# many of them


def put_rows(world: World, count: int, *, at: str, generation: int, state: str) -> None:
    """New bundles, each followed by one that was imported as if it followed none; `at` is SQL, by the number `seq`."""
    insert = (
        "INSERT INTO ingest_batch (sync_id, status, action, discovered_at, manifest_sha256, manifest_completed_at,"
        " prior_sync_id, imported_version_at, imported_generation, imported_revision, is_placed)"
    )
    rows = f"FROM seq_1_to_{count}"
    world.sql(
        f"{insert} SELECT CONCAT('p', LPAD(seq, 35, '0')), 'new', 'create', UTC_TIMESTAMP(6), 'x', {at}, NULL, NULL,"
        f" NULL, NULL, 0 {rows}"
    )
    world.sql(
        f"{insert} SELECT CONCAT('f', LPAD(seq, 35, '0')), 'imported', 'create', UTC_TIMESTAMP(6), 'x', {at},"
        f" CONCAT('p', LPAD(seq, 35, '0')), {at}, {generation}, 0, 1 {rows}"
    )
    world.sql(
        f"INSERT INTO import_job (batch_id, state, manifest_sha256, queued_at) SELECT id, '{state}', 'x',"
        " UTC_TIMESTAMP(6) FROM ingest_batch WHERE sync_id LIKE 'f%%' AND %s",
        1,
    )


def look(context: Context) -> Any:
    return partial(placing.place, after=0, limit=MAX_PLACED)


def test_followers_that_run_for_long_keep_no_others_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "MAX_PLACED", FEW)
    context = world.context()
    put_rows(world, FEW + 5, at="'2027-01-01'", generation=0, state="running")
    follow_late(world, context)
    sweeper = Sweeper(context)
    assert [sweeper.place() for _ in range(3)].count(1) == 1
    assert jobs(world, OLDER)[-1] == ("ingestd", "reimport", "queued")
    world.sql("UPDATE import_job SET state = 'done' WHERE state = 'running'")
    assert sum(sweeper.place() for _ in range(4)) == FEW + 5


def test_an_idle_sweep_reads_nothing_of_what_is_placed(world: World) -> None:
    context = world.context()
    put_rows(world, 3000, at="'2027-01-01'", generation=1, state="done")
    while unplaced(world):
        assert Sweeper(context).place() == 0
    assert rows_touched(context.db, look(context)) < 10


@pytest.mark.parametrize("at", ["'2027-01-01'", "'2027-01-01' + INTERVAL seq SECOND"])
def test_a_sweep_reads_some_rows_for_each_that_is_not_placed(world: World, at: str) -> None:
    """By the statistics of the table a time is shared by few batches, and a prior by many."""
    context = world.context()
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, discovered_at, manifest_completed_at, prior_sync_id, is_placed)"
        " SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6), '2025-01-01' + INTERVAL seq SECOND, %s, 1"
        " FROM seq_1_to_10000",
        PRIOR,
    )
    put_rows(world, 600, at=at, generation=0, state="running")
    world.sql("ANALYZE TABLE ingest_batch, import_job")
    assert 600 < rows_touched(context.db, look(context)) < 600 * 100, "not each with all others"
    assert unplaced(world) == 600

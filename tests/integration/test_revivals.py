"""Revivals: which batches with deferred items are queued again by themselves, and which are not."""

import pytest

from ingestd.pipeline import cancelling
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, cover, photo


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


def waiting_batch(world: World) -> str:
    """A recorded batch with a cover whose parent is missing."""
    return world.put(cover("c", "p"), photo("own"), day=2, action="update")


def bring_parent(world: World, context: Context) -> None:
    assert world.import_all(context, world.put(photo("p"), day=1)) == ["done"]


def revive(world: World, context: Context) -> int:
    """One sweep, as if the last revival of every batch were long ago."""
    world.sql("UPDATE ingest_batch SET revived_at = NULL")
    return Sweeper(context).revive()


def test_a_batch_that_was_only_planned_is_not_revived(world: World, context: Context) -> None:
    sync_id = waiting_batch(world)
    world.scan(context)
    preflight(context, sync_id)
    bring_parent(world, context)
    assert revive(world, context) == 0


def test_a_batch_that_was_cancelled_before_its_import_is_not_revived(world: World, context: Context) -> None:
    sync_id = waiting_batch(world)
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    cancelling.cancel(context, sync_id, "tester")
    bring_parent(world, context)
    assert revive(world, context) == 0


def test_a_cancelled_revival_stays_cancelled_until_a_person_queues_the_batch(world: World, context: Context) -> None:
    sync_id = waiting_batch(world)
    assert world.import_all(context, sync_id) == ["done"]
    bring_parent(world, context)
    assert revive(world, context) == 1
    cancelling.cancel(context, sync_id, "tester")
    assert revive(world, context) == 0
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"


def test_a_cancelled_import_does_not_keep_a_batch_from_its_revival(world: World, context: Context) -> None:
    sync_id = waiting_batch(world)
    assert world.import_all(context, sync_id) == ["done"]
    enqueue(context, QueueRequest(sync_id, "tester"))
    cancelling.cancel(context, sync_id, "tester")
    bring_parent(world, context)
    assert revive(world, context) == 1


def test_a_clock_that_was_ahead_for_a_moment_delays_no_revival(world: World, context: Context) -> None:
    sync_id = waiting_batch(world)
    assert world.import_all(context, sync_id) == ["done"]
    bring_parent(world, context)
    world.sql("UPDATE ingest_batch SET revived_at = UTC_TIMESTAMP(6) + INTERVAL 1 YEAR")
    assert [Sweeper(context).revive() for _sweep in range(2)] == [1, 0]
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"

"""Cancelling a job leaves its batch as it was before it was queued: its status and every decision."""

import pytest

from ingestd.model import JobState, Scope
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_events
from support.removals import container
from support.wait import stop_event, until
from support.world import World, cover, photo

SCOPES = [Scope.REIMPORT, Scope.ALL, Scope.FAILED, Scope.DEFERRED]


def put_mixed(world: World) -> str:
    """One created, one failed and one deferred item, and a deferred gallery."""
    sync_id = world.put(photo("a"), photo("b"), cover("c", "parent"), containers=[container("g", ["a", "absent"])])
    (world.root / photo("b")["path"] / "0.jpg").unlink()
    return sync_id


def put_imported(world: World) -> str:
    return world.put(photo("a"), containers=[container("g", ["a"])])


def put_failed(world: World) -> str:
    sync_id = world.put(photo("a"))
    (world.root / photo("a")["path"] / "0.jpg").unlink()
    return sync_id


def put_empty(world: World) -> str:
    return world.put()


def standing(world: World, sync_id: str) -> object:
    """What people see of a batch, besides its jobs and its ledger."""
    columns = "ordinal, decision, reason, last_error"
    items = f"SELECT {columns}, waiting_for, target_ids, crash_count FROM ingest_batch_item ORDER BY id"
    containers = f"SELECT {columns}, missing, target_ids FROM ingest_batch_container ORDER BY id"
    batch = "SELECT status, last_error, completed_at, failure_count FROM ingest_batch WHERE sync_id = %s"
    return world.sql(items), world.sql(containers), world.tallies(), world.sql(batch, sync_id)


def queue(context: Context, sync_id: str, scope: Scope) -> None:
    enqueue(context, QueueRequest(sync_id, "tester", scope=scope))


@pytest.mark.parametrize("scope", SCOPES)
def test_cancelling_leaves_a_partial_batch_as_it_was(world: World, scope: Scope) -> None:
    context, sync_id = world.context(), put_mixed(world)
    world.import_all(context, sync_id)
    before = standing(world, sync_id)
    assert world.status(sync_id) == "partial"
    queue(context, sync_id, scope)
    assert cancel(context, sync_id, "tester").state is JobState.CANCELLED
    assert standing(world, sync_id) == before


@pytest.mark.parametrize("scope", [Scope.REIMPORT, Scope.ALL])
@pytest.mark.parametrize(
    ("put", "status"), [(put_imported, "imported"), (put_failed, "failed"), (put_empty, "imported")]
)
def test_cancelling_leaves_other_batches_as_they_were(world: World, put: object, status: str, scope: Scope) -> None:
    context, sync_id = world.context(), put(world)  # type: ignore[operator]
    world.import_all(context, sync_id)
    before = standing(world, sync_id)
    assert world.status(sync_id) == status
    queue(context, sync_id, scope)
    preflight(context, sync_id)
    cancel(context, sync_id, "tester")
    assert standing(world, sync_id) == before


def test_a_queued_job_that_became_a_reimport_is_cancelled_without_a_trace(world: World) -> None:
    context, sync_id = world.context(), put_mixed(world)
    world.import_all(context, sync_id)
    before = standing(world, sync_id)
    queue(context, sync_id, Scope.FAILED)
    queue(context, sync_id, Scope.REIMPORT)
    cancel(context, sync_id, "tester")
    assert standing(world, sync_id) == before


def test_a_waiting_reimport_is_cancelled_without_a_trace(world: World) -> None:
    context = world.context()
    prior = world.put(photo("p"), day=1)
    sync_id = world.put(photo("a"), day=2, prior_sync_id=prior)
    world.import_all(context, prior, sync_id)
    queue(context, prior, Scope.ALL)
    before = standing(world, sync_id)
    queue(context, sync_id, Scope.REIMPORT)
    assert world.one("SELECT state FROM import_job ORDER BY id DESC LIMIT 1") == "waiting"
    cancel(context, sync_id, "tester")
    assert standing(world, sync_id) == before


def test_a_batch_keeps_its_decisions_when_the_manifest_of_a_reimport_is_gone(world: World) -> None:
    context, sync_id = world.context(mount={"settle_seconds": 0.1}), put_mixed(world)
    world.import_all(context, sync_id)
    queue(context, sync_id, Scope.REIMPORT)
    decisions = world.decisions(sync_id)
    (world.root / f"sync/{sync_id}.ready").unlink()
    assert world.run_next(context) == "failed"
    assert world.decisions(sync_id) == decisions


# a re-import that runs resets the decisions once


def started(world: World, sync_id: str) -> list[int]:
    """How many items were decided already when each run began."""
    return [made["already_terminal_count"] for kind, made in world.events(sync_id) if kind == "import_started"]


def run_until_released(world: World, context: Context, items: int) -> None:
    """Runs the next job until so many items are imported, and puts it back as a stopping daemon does."""
    stopping = stop_event()
    lease = claim(context, "w", str(this_instance()))
    assert lease is not None
    run = Run(context, lease, stopping, lambda: stopping.set() if lease.items_done >= items else None)
    assert run.execute() == "released"


def test_a_reimport_that_was_given_back_goes_on_where_it_was(world: World) -> None:
    context = world.context(worker={"chunk_items": 1})
    sync_id = world.put(*(photo(name) for name in "abcd"))
    world.import_all(context, sync_id)
    queue(context, sync_id, Scope.REIMPORT)
    run_until_released(world, context, 2)
    assert world.run_next(context) == "done"
    first, again, rest = started(world, sync_id)
    assert (first, again) == (0, 0)
    assert rest >= 2
    assert set(world.decisions(sync_id).values()) == {"skipped:unchanged"}


def test_the_retry_of_a_reimport_goes_on_where_it_was(world: World) -> None:
    context = world.context(queue={"retry_pauses": [0.001]})
    sync_id = world.put(photo("a"), photo("b"))
    world.import_all(context, sync_id)
    queue(context, sync_id, Scope.REIMPORT)
    with refused_events(world, "import_finished"):
        assert world.run_next(context) == "failed"
    until(lambda: Sweeper(context).retry() == 1, what="the retry is due")
    assert world.run_next(context) == "done"
    assert started(world, sync_id) == [0, 0, 2]
    assert world.status(sync_id) == "imported"


def test_the_retry_of_a_reimport_that_never_began_is_one(world: World) -> None:
    context = world.context(queue={"retry_pauses": [0.001]})
    sync_id = world.put(photo("a"), photo("b"))
    world.import_all(context, sync_id)
    queue(context, sync_id, Scope.REIMPORT)
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    assert set(world.decisions(sync_id).values()) == {"created"}
    until(lambda: Sweeper(context).retry() == 1, what="the retry is due")
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"skipped:unchanged"}


def test_a_reimport_can_be_asked_for_again_and_again(world: World) -> None:
    context, sync_id = world.context(), put_imported(world)
    world.import_all(context, sync_id)
    for _ in range(2):
        queue(context, sync_id, Scope.REIMPORT)
        assert world.run_next(context) == "done"
    assert started(world, sync_id) == [0, 0, 0]

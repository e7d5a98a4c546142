"""Batches with a job whose bundle becomes invalid before that runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from ingestd.errors import NotEligible
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from support.removals import events
from support.world import World, photo

LIMIT = 300.0
"""mount.max_future of a host that takes a bundle of the next hours for invalid"""
Redelivery = Callable[[World, str], None]


def from_future(world: World, sync_id: str) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    world.put(photo("a"), photo("b"), sync_id=sync_id, completed_at=f"{ahead:%Y-%m-%dT%H:%M:%SZ}")


def beyond_limit(world: World, sync_id: str) -> None:
    world.put(photo("a"), photo("b"), photo("c"), sync_id=sync_id)


def not_completed(world: World, sync_id: str) -> None:
    world.put(photo("a"), photo("b"), sync_id=sync_id, status="failed")


REDELIVERIES = {"time": from_future, "setting": beyond_limit, "bytes": not_completed}


def queued_then_invalid(world: World, context: Context, redeliver: Redelivery) -> str:
    """A queued batch whose bundle was delivered again, and is not consumable now."""
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    redeliver(world, sync_id)
    world.scan(context)
    assert world.status(sync_id) == "queued"
    return sync_id


def standing(world: World) -> tuple[object, ...]:
    return world.sql("SELECT status, invalid_basis, last_error IS NOT NULL FROM ingest_batch WHERE %s", 1)[0]


def strict(world: World) -> Context:
    return world.context(mount={"max_future": LIMIT, "max_items": 2})


def cancelled(_world: World, context: Context, sync_id: str) -> None:
    cancel(context, sync_id, "olivia")


def ended_by_hand(world: World, context: Context, _sync_id: str) -> None:
    world.sql("UPDATE import_job SET state = 'failed', finished_at = UTC_TIMESTAMP(6) WHERE %s", 1)
    Rescuer(context, this_instance()).run_once()


@pytest.mark.parametrize("basis", REDELIVERIES)
@pytest.mark.parametrize("end", [cancelled, ended_by_hand])
def test_it_is_invalid_once_it_has_no_job(world: World, basis: str, end: Callable[[World, Context, str], None]) -> None:
    context = strict(world)
    sync_id = queued_then_invalid(world, context, REDELIVERIES[basis])
    end(world, context, sync_id)
    assert standing(world) == ("invalid", basis, 1)
    world.scan(context)
    assert standing(world) == ("invalid", basis, 1)


def test_what_is_invalid_is_not_planned_while_it_is_queued(world: World) -> None:
    context = strict(world)
    sync_id = queued_then_invalid(world, context, from_future)
    with pytest.raises(NotEligible, match=r"is invalid: completed_at.* ahead"):
        preflight(context, sync_id)
    assert world.one("SELECT plan_sha256 FROM ingest_batch") is None


def test_it_is_queued_again_once_its_time_has_come(world: World) -> None:
    context = strict(world)
    sync_id = queued_then_invalid(world, context, from_future)
    ended_by_hand(world, context, sync_id)
    later = world.context(mount={"max_future": 86400.0})
    world.scan(later)
    assert Sweeper(later).retry() == 1
    assert world.run_next(later) == "done"
    assert standing(world) == ("imported", None, 0)


def test_what_was_imported_rests_on_no_earlier_verdict(world: World) -> None:
    """Its time has come since its manifest was recorded, and no scan was in between."""
    sync_id = queued_then_invalid(world, strict(world), from_future)
    later = world.context(mount={"max_future": 86400.0})
    assert world.run_next(later) == "done"
    assert standing(world) == ("imported", None, 0)
    world.scan(later)
    assert standing(world) == ("imported", None, 0)
    assert world.decisions(sync_id) != {}


@pytest.mark.parametrize("failing", [False, True])
def test_what_another_host_imported_within_its_limits_stays_so(world: World, failing: bool) -> None:
    """It was recorded without its envelope, which the run adds."""
    sync_id = queued_then_invalid(world, strict(world), beyond_limit)
    if failing:
        world.file(f"{photo('b')['path']}/0.jpg", b"not of the size that the manifest says")
    lax = world.context()
    assert world.run_next(lax) == "done"
    status = "partial" if failing else "imported"
    assert world.status(sync_id) == status
    decisions, error = world.decisions(sync_id), standing(world)[2]
    world.scan(lax)
    assert standing(world) == (status, None, error)
    assert world.decisions(sync_id) == decisions
    assert world.one("SELECT item_count FROM ingest_batch") == 3


def test_it_is_not_approved(world: World) -> None:
    """An approval records what a plan allows, and there is none."""
    context = strict(world)
    sync_id = queued_then_invalid(world, context, from_future)
    with pytest.raises(NotEligible, match="is invalid"):
        enqueue(context, QueueRequest(sync_id, "olivia", force=True))
    assert events(world, sync_id, "removal_approved") == []
    assert world.one("SELECT force_sha256 FROM ingest_batch") is None

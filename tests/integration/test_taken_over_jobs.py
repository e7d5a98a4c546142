"""A person who queues a batch whose job the daemon queued takes that job over: it counts as the person's."""

from collections.abc import Callable
from typing import Any

import pytest

from ingestd.errors import NotEligible
from ingestd.model import DAEMON, Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import Queued, QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_events
from support.world import World, cover, photo

PAUSES = (60.0, 300.0)


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"retry_pauses": PAUSES, "auto": ["create"], "revive_interval": 1})


def ask(context: Context, sync_id: str, by: str = "olivia", **options: Any) -> Queued:
    return enqueue(context, QueueRequest(sync_id, by, **options))


def fail(world: World, context: Context) -> None:
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"


def last_retry(world: World, context: Context) -> str:
    """A batch whose last retry is queued by the daemon."""
    sync_id = world.put(photo("a"))
    world.scan(context)
    Sweeper(context).queue_new()
    for _ in PAUSES:
        fail(world, context)
        world.sql("UPDATE ingest_batch SET retry_at = UTC_TIMESTAMP(6) WHERE retry_at IS NOT NULL")
        assert Sweeper(context).retry() == 1
    return sync_id


def new(world: World, context: Context) -> str:
    """A batch that is queued automatically."""
    sync_id = world.put(photo("a"))
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    return sync_id


def revival(world: World, context: Context) -> str:
    """A batch that is queued because what it waits for has come."""
    sync_id = world.put(cover("c", "late"))
    assert world.import_all(context, sync_id, world.put(photo("late"))) == ["done", "done"]
    assert Sweeper(context).revive() == 1
    return sync_id


@pytest.mark.parametrize("made", [last_retry, new, revival])
@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"scope": Scope.REIMPORT}])
def test_a_job_of_the_daemon_becomes_that_of_the_person_who_queues_its_batch(
    world: World, context: Context, made: Callable[[World, Context], str], options: dict[str, Any]
) -> None:
    sync_id = made(world, context)
    queued = ask(context, sync_id, **options)
    assert (queued.is_new, queued.job.requested_by, queued.job.state) == (False, "olivia", "queued")
    assert world.one("SELECT requested_by FROM import_job ORDER BY id DESC LIMIT 1") == "olivia"
    kind, payload = world.events(sync_id)[-1]
    assert (kind, payload) == (
        "job_taken_over",
        {"phase": "job_take_over", "job_id": queued.job.id, "priority": queued.job.priority, "requested_by": "olivia"},
    )


@pytest.mark.parametrize("state", ["queued", "running"])
def test_retries_begin_again_with_the_request_of_a_person(world: World, context: Context, state: str) -> None:
    """Also when the last retry is running: if it fails, the request still stands."""
    sync_id = last_retry(world, context)
    if state == "running":
        world.sql("UPDATE import_job SET state = 'running' WHERE state = 'queued'")
    ask(context, sync_id)
    world.sql("UPDATE import_job SET state = 'queued' WHERE state = 'running'")
    fail(world, context)
    seconds = "TIMESTAMPDIFF(SECOND, completed_at, retry_at)"
    assert world.sql(f"SELECT failure_count, {seconds} FROM ingest_batch WHERE status = 'failed'") == [(1, 60)]


def test_without_a_request_the_last_retry_is_the_last(world: World, context: Context) -> None:
    last_retry(world, context)
    fail(world, context)
    assert world.sql("SELECT failure_count, retry_at FROM ingest_batch WHERE status = 'failed'") == [(3, None)]


@pytest.mark.parametrize("by", ["oscar", DAEMON])
def test_the_job_of_a_person_stays_that_of_the_first(world: World, context: Context, by: str) -> None:
    sync_id = last_retry(world, context)
    ask(context, sync_id)
    before = world.events(sync_id)
    assert ask(context, sync_id, by).job.requested_by == "olivia"
    assert world.events(sync_id) == before


def test_a_refused_request_takes_nothing_over(world: World, context: Context) -> None:
    sync_id = last_retry(world, context)
    world.sql("UPDATE import_job SET state = 'running' WHERE state = 'queued'")
    with pytest.raises(NotEligible, match="a re-import"):
        ask(context, sync_id, scope=Scope.REIMPORT)
    assert world.one("SELECT requested_by FROM import_job WHERE state = 'running'") == DAEMON

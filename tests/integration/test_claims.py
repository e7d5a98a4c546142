"""Claims beside plans, cancels and pauses: they wait for no batch that others hold, and a pause waits for them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.pipeline import cancelling, pausing, queueing
from ingestd.pipeline import preflight as planning
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import job
from support.wait import until
from support.world import World, photo

ME = str(this_instance())


@pytest.fixture
def queued(world: World) -> tuple[Context, str, str]:
    context = world.context()
    sync_ids = (world.put(photo("a")), world.put(photo("b")))
    world.scan(context)
    for sync_id in sync_ids:
        enqueue(context, QueueRequest(sync_id, "tester"))
    return context, *sync_ids


def claimed(world: World, context: Context) -> str | None:
    """The batch whose job is claimed."""
    lease = claim(context, "w/pid:1/0", ME)
    return None if lease is None else str(world.one("SELECT sync_id FROM ingest_batch WHERE id = %s", lease.batch_id))


@contextmanager
def interrupted(owner: object, name: str, work: Callable[[], object]) -> Iterator[None]:
    """Runs `work` in a thread. While the block runs, it stands in its transaction, in the function `name`."""
    reached, go_on = threading.Event(), threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        function = getattr(owner, name)

        def stand(*arguments: object, **more: object) -> object:
            reached.set()
            assert go_on.wait(30)
            return function(*arguments, **more)

        patch.setattr(owner, name, stand)
        thread = threading.Thread(target=work)
        thread.start()
        assert reached.wait(30)
        try:
            yield
        finally:
            go_on.set()
            thread.join(30)


def test_a_long_plan_occupies_no_worker(world: World, queued: tuple[Context, str, str]) -> None:
    context, first, second = queued
    with interrupted(planning, "make_plan", lambda: preflight(world.context(), first)):
        assert claimed(world, context) == second
        assert claimed(world, context) is None
    assert claimed(world, context) == first


def test_a_batch_that_is_being_cancelled_is_not_waited_for(world: World, queued: tuple[Context, str, str]) -> None:
    context, first, second = queued
    with interrupted(cancelling, "append_job_event", lambda: cancelling.cancel(world.context(), first, "olga")):
        assert claimed(world, context) == second
    assert claimed(world, context) is None
    assert world.one("SELECT state FROM import_job ORDER BY id LIMIT 1") == "cancelled"


def test_a_batch_that_is_being_queued_with_another_priority_is_claimed_later(
    world: World, queued: tuple[Context, str, str]
) -> None:
    context, first, second = queued
    request = QueueRequest(first, "olga", priority=7)
    with interrupted(queueing, "append_job_event", lambda: enqueue(world.context(), request)):
        assert claimed(world, context) == second
    assert claimed(world, context) == first


def test_no_job_is_claimed_any_more_when_a_pause_returns(world: World, queued: tuple[Context, str, str]) -> None:
    context, _first, _second = queued
    paused = threading.Event()

    def pause() -> None:
        pausing.pause(world.context(), "olga", None)
        paused.set()

    def waits() -> bool:
        running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE ingest_control%%'"
        return bool(world.one(running))

    with interrupted(job, "claim_next", lambda: claim(world.context(), "w/pid:1/1", ME)):
        thread = threading.Thread(target=pause)
        thread.start()
        until(lambda: paused.is_set() or waits())
    thread.join(30)
    assert paused.is_set()
    assert claimed(world, context) is None
    kinds = "SELECT event_type FROM ingest_event WHERE event_type IN ('job_claimed', 'queue_paused') ORDER BY id"
    assert world.sql(kinds) == [("job_claimed",), ("queue_paused",)]


@pytest.mark.parametrize("priority", [None, 100])
def test_a_request_that_races_with_another_and_its_claim_gets_that_job(
    world: World, monkeypatch: pytest.MonkeyPatch, priority: int | None
) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    plan = queueing.preflight_if_needed

    def overtaken(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(queueing, "preflight_if_needed", plan)
        enqueue(world.context(), QueueRequest(sync_id, "oscar"))
        assert claimed(world, context) == sync_id
        planning.preflight(context, sync_id)

    monkeypatch.setattr(queueing, "preflight_if_needed", overtaken)
    result = enqueue(context, QueueRequest(sync_id, "olivia", priority=priority))
    assert (result.is_new, result.job.requested_by) == (False, "oscar")

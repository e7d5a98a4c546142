"""A plan is a forecast: it never replaces what an import decided, which sweeps and people look for."""

from collections.abc import Callable

import pytest

from ingestd.errors import NotEligible
from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, cover, md5, photo

LIST = {"type": "gallery", "hash": md5("g"), "title": "g", "complete": True, "items": [md5("q")]}


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create", "update"], "revive_interval": 0.001})


def revived(world: World, context: Context) -> str | None:
    """What comes of a sweep for revivals."""
    return world.run_next(context) if Sweeper(context).revive() else None


@pytest.mark.parametrize("plan_when", ["before", "after", "both"])
def test_a_preflight_does_not_stop_a_revival(world: World, context: Context, plan_when: str) -> None:
    waiting = world.put(photo("q"), cover("c", "later"))
    world.import_all(context, waiting)
    if plan_when in ("before", "both"):
        assert preflight(context, waiting)["counts"]["will_defer"] == 1
    world.import_all(context, world.put(photo("later"), day=2))
    if plan_when in ("after", "both"):
        assert preflight(context, waiting)["counts"]["will_link"] == 1
    assert world.decisions(waiting)[md5("c")] == "deferred:parent_missing"
    assert revived(world, context) == "done"
    assert world.status(waiting) == "imported"


@pytest.mark.parametrize("members", [[md5("q")], []])
def test_a_revival_that_plans_again_takes_what_waited(world: World, context: Context, members: list[str]) -> None:
    """Runs that may take rows out of sight plan again before they begin."""
    waiting = world.put(photo("q"), cover("c", "later"), containers=[{**LIST, "items": members}])
    world.import_all(context, waiting)
    world.import_all(context, world.put(photo("later"), day=2))
    assert revived(world, context) == "done"
    assert world.decisions(waiting)[md5("c")] == "linked"
    assert world.status(waiting) == "imported"


def test_failed_items_are_still_failed_after_a_preflight(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    (world.root / photo("b")["path"] / "0.jpg").unlink()
    world.import_all(context, sync_id)
    error = world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'")
    world.put(photo("b"), photo("a"), sync_id=sync_id)
    preflight(context, sync_id)
    assert world.decisions(sync_id) == {md5("b"): "failed:file_missing", md5("a"): "created"}
    assert world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'") == error
    assert world.status(sync_id) == "partial"
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.FAILED))
    world.run_next(context)
    assert world.status(sync_id) == "imported"


def test_new_content_is_queued_also_if_a_preflight_finds_it_first(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"), photo("b"), photo("d"))
    (world.root / photo("b")["path"] / "0.jpg").unlink()
    world.import_all(context, sync_id)
    world.put(photo("a", title="changed"), photo("b"), photo("c"), photo("d"), sync_id=sync_id)
    preflight(context, sync_id)
    assert world.status(sync_id) == "ready"
    assert Sweeper(context).queue_new() == 1
    assert world.run_next(context) == "done"
    decided = {"a": "updated", "b": "created", "c": "created", "d": "created"}
    assert world.decisions(sync_id) == {md5(name): decision for name, decision in decided.items()}


def queue_revival(_world: World, context: Context, _sync_id: str) -> None:
    assert Sweeper(context).revive() == 1


def queue_deferred(_world: World, context: Context, sync_id: str) -> None:
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.DEFERRED))


@pytest.mark.parametrize("queue", [queue_revival, queue_deferred])
def test_new_content_is_not_lost_to_a_job_for_some_items(
    world: World, context: Context, queue: Callable[[World, Context, str], None]
) -> None:
    sync_id = world.put(photo("q"), cover("c", "later"))
    world.import_all(context, sync_id)
    world.import_all(context, world.put(photo("later"), day=2))
    queue(world, context, sync_id)
    world.put(photo("q", title="changed"), photo("new"), cover("c", "later"), sync_id=sync_id)
    world.scan(context)
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id)[md5("c")] == "linked"
    assert Sweeper(context).queue_new() == 1
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("q"): "updated", md5("new"): "created", md5("c"): "linked"}
    assert Sweeper(context).queue_new() == 0


def test_containers_alone_are_enough_for_a_job_for_some_items(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"), containers=[{**LIST, "complete": False, "items": [md5("a"), md5("later")]}])
    world.import_all(context, sync_id)
    with pytest.raises(NotEligible, match="no failed items or containers"):
        enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.FAILED))
    world.import_all(context, world.put(photo("later"), day=2))
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.DEFERRED))
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"

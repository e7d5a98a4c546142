"""Sweeps of several hosts, and of one that is late: nothing is queued twice, or against the will of an operator."""

from collections.abc import Callable

import pytest

from ingestd.model import Scope
from ingestd.pipeline import cancelling
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_events
from support.world import World, cover, md5, photo


class LateSweeper(Sweeper):
    """Does something else between finding what is due and queueing it."""

    meanwhile: Callable[[], object]

    def _queue_part(self, part: list[str]) -> int:
        self._do()
        return super()._queue_part(part)

    def _insert_all(self, *arguments: object) -> int:
        self._do()
        return super()._insert_all(*arguments)  # type: ignore[arg-type]

    def _do(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()


@pytest.fixture
def contexts(world: World) -> tuple[Context, Context]:
    settings = {"auto": ["create", "update"], "revive_interval": 60.0, "retry_pauses": [0.001]}
    return world.context(queue=settings), world.context(queue=settings)


def late(context: Context, meanwhile: Callable[[], object]) -> Sweeper:
    sweeper = LateSweeper(context)
    sweeper.meanwhile = meanwhile
    return sweeper


def finish_all(world: World, context: Context) -> None:
    while world.run_next(context):
        pass


def jobs(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM import_job"))


def test_what_another_host_queued_and_imported_meanwhile_is_not_queued_again(
    world: World, contexts: tuple[Context, Context]
) -> None:
    here, there = contexts
    for number in range(3):
        world.put(photo(f"p{number}"))
    world.scan(here)

    def elsewhere() -> None:
        assert Sweeper(there).queue_new() == 3
        finish_all(world, there)

    assert late(here, elsewhere).queue_new() == 0
    assert jobs(world) == 3


def test_what_an_operator_queued_and_cancelled_meanwhile_stays_cancelled(
    world: World, contexts: tuple[Context, Context]
) -> None:
    here, there = contexts
    sync_id = world.put(photo("a"))
    world.scan(here)

    def operator() -> None:
        enqueue(there, QueueRequest(sync_id, "olga"))
        cancelling.cancel(there, sync_id, "olga")

    assert late(here, operator).queue_new() == 0
    assert jobs(world) == 1


def test_what_another_host_revived_meanwhile_is_not_revived_again(
    world: World, contexts: tuple[Context, Context]
) -> None:
    here, there = contexts
    waiting = world.put(photo("a"), cover("c", "one"), cover("d", "two"))
    world.import_all(here, waiting)
    world.import_all(here, world.put(photo("one"), day=2))

    def elsewhere() -> None:
        assert Sweeper(there).revive() == 1
        finish_all(world, there)

    before = jobs(world)
    assert late(here, elsewhere).revive() == 0
    assert jobs(world) == before + 1


def fail_with_deferred_items(world: World, context: Context) -> str:
    """A batch whose run failed as a whole, with an item that could be imported now."""
    sync_id = world.put(photo("a"), cover("c", "later"))
    world.import_all(context, sync_id)
    world.import_all(context, world.put(photo("later"), day=2))
    enqueue(context, QueueRequest(sync_id, "olga"))
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    return sync_id


def test_a_batch_that_failed_as_a_whole_is_left_to_its_retries(world: World, contexts: tuple[Context, Context]) -> None:
    context, _ = contexts
    sync_id = fail_with_deferred_items(world, context)
    assert Sweeper(context).revive() == 0
    with refused_events(world, "import_started"):
        assert Sweeper(context).retry() == 1
        assert world.run_next(context) == "failed"
    assert Sweeper(context).retry() + Sweeper(context).revive() == 0, "the only pause was used"
    enqueue(context, QueueRequest(sync_id, "olga"))
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id)[md5("c")] == "linked"


def test_a_cancelled_retry_is_not_brought_back_by_a_revival(world: World, contexts: tuple[Context, Context]) -> None:
    context, _ = contexts
    sync_id = fail_with_deferred_items(world, context)
    cancelling.cancel(context, sync_id, "olga")
    assert Sweeper(context).retry() + Sweeper(context).revive() == 0
    assert jobs(world) == 3


def test_an_operator_who_was_faster_than_a_retry_has_the_only_job(
    world: World, contexts: tuple[Context, Context]
) -> None:
    here, there = contexts
    sync_id = fail_with_deferred_items(world, here)

    def operator() -> None:
        enqueue(there, QueueRequest(sync_id, "olga", priority=1, scope=Scope.ALL))

    before = jobs(world)
    assert late(here, operator).retry() == 0
    assert jobs(world) == before + 1
    assert world.one("SELECT priority FROM import_job ORDER BY id DESC LIMIT 1") == 1

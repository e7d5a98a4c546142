"""A job that kills its workers before they come to an item: it ends after a few of them, and others get their turn."""

import pytest

from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, photo

ME = this_instance()
DEAD = str(ME._replace(pid=4_194_000))
ELSEWHERE = str(ME._replace(machine_id="0" * 32))


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"retry_pauses": [0.001]})


def queued(world: World, context: Context, *names: str) -> list[str]:
    sync_ids = [world.put(photo(name)) for name in names]
    world.scan(context)
    for sync_id in sync_ids:
        enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_ids


def crash(world: World, context: Context, change: str = "", *, instance: str = DEAD) -> int:
    """A worker claims the first job and dies; `change` is what it wrote before. Returns the claimed batch."""
    lease = claim(context, "here/pid:4194000/0", instance)
    assert lease is not None
    if change:
        world.sql(f"UPDATE import_job SET {change} WHERE id = %s", lease.job_id)
    rescuer = Rescuer(context, ME)
    assert rescuer.reset_dead() if instance == DEAD else rescuer.reset_stale()
    return lease.batch_id


def test_it_fails_after_three_crashes_and_is_tried_again_later(world: World, context: Context) -> None:
    killer, other = queued(world, context, "killer", "other")
    assert len({crash(world, context) for _ in range(3)}) == 1
    assert world.status(killer) == "failed"
    error = world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", killer)
    assert "3 workers in a row crashed" in error
    kind, payload = world.events(killer)[-1]
    assert (kind, payload["error"]) == ("job_finished", error)
    assert world.run_next(context) == "done"
    assert world.status(other) == "imported"
    assert Sweeper(context).retry() == 1
    assert [crash(world, context) for _ in range(3)]
    assert Sweeper(context).retry() == 0, "the only pause was used"
    enqueue(context, QueueRequest(killer, "tester"))
    assert world.run_next(context) == "done"


@pytest.mark.parametrize("change", ["items_done = items_done + 1", "current_item_id = 1"])
def test_crashes_after_an_item_count_for_no_job(world: World, context: Context, change: str) -> None:
    (sync_id,) = queued(world, context, "a")
    for round_ in range(6):
        crash(world, context, change if round_ % 3 == 2 else "")
    assert world.status(sync_id) == "queued"


def test_silence_is_not_a_crash(world: World, context: Context) -> None:
    (sync_id,) = queued(world, context, "a")
    for _ in range(4):
        crash(world, context, "heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY", instance=ELSEWHERE)
    assert world.status(sync_id) == "queued"
    assert world.run_next(context) == "done"

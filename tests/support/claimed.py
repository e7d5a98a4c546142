"""Jobs that were claimed, by this process or another, and when they were last heard of."""

from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.world import World, md5

ME = this_instance()


def queued(world: World, context: Context, *names: str) -> str:
    sync_id = world.put(*({"type": "photo", "hash": md5(name)} for name in names or ("a",)))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def running(world: World, context: Context, instance: str, *, silent_for: float = 0.0) -> str:
    """A job claimed by `instance`, whose last heartbeat is so many seconds old."""
    sync_id = queued(world, context)
    assert claim(context, "elsewhere/pid:7/0", instance) is not None
    world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL %s MICROSECOND", int(silent_for * 1e6))
    return sync_id


def state(world: World) -> str:
    return str(world.one("SELECT state FROM import_job ORDER BY id DESC LIMIT 1"))

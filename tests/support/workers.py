"""A worker pool whose claims and runs the test makes itself, in its own thread."""

from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool
from support.world import World


def queued(world: World, context: Context, *sync_ids: str) -> WorkerPool:
    """Scans, queues these bundles, and returns a pool for them."""
    world.scan(context)
    for sync_id in sync_ids:
        enqueue(context, QueueRequest(sync_id, "tester"))
    return WorkerPool(context, this_instance())


def run_all(pool: WorkerPool) -> float:
    """One worker runs all jobs that may be claimed now; returns the seconds until it looks again."""
    while (delay := pool.claim_and_run(0)) == 0.0:
        pass
    return delay


def is_imported(world: World, pool: WorkerPool, sync_id: str) -> bool:
    """Whether a batch is imported, after all that may run now."""
    run_all(pool)
    return world.status(sync_id) == "imported"

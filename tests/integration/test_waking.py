"""Waking of workers: one is woken for a job, and each that finds one wakes the next."""

import threading

import pytest

from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool
from support.wait import until
from support.world import World, photo

SECONDS = 20.0
THREADS = 3


@pytest.mark.parametrize("each", [False, True])
def test_all_workers_run_what_is_queued_at_once(world: World, monkeypatch: pytest.MonkeyPatch, each: bool) -> None:
    """Nothing else wakes them here: there is no poller."""
    context = world.context(worker={"threads": THREADS})
    sync_ids = [world.put(photo(name)) for name in "abc"]
    world.scan(context)
    together, execute = threading.Barrier(THREADS), Run.execute
    looked: list[None] = []

    def run(self: Run) -> str:
        together.wait(SECONDS)
        return execute(self)

    monkeypatch.setattr(Run, "execute", run)
    pool = WorkerPool(context, this_instance())
    monkeypatch.setattr(pool._pace, "unused", lambda: looked.append(None))
    pool.start()
    try:
        until(lambda: len(looked) >= THREADS, what="for each worker to find nothing")
        for sync_id in sync_ids:
            enqueue(context, QueueRequest(sync_id, "tester"), pool.wake_one if each else lambda: None)
        if not each:
            pool.wake_one()
        until(lambda: {world.status(sync_id) for sync_id in sync_ids} == {"imported"}, seconds=SECONDS)
    finally:
        pool.stop()
        for service in pool.services:
            service.join(SECONDS)

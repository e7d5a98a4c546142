"""Waking of workers: one is woken for a job, and each that finds one wakes the next."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from ingestd.app import Daemon
from ingestd.pipeline import delivery
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.lanes import Outcome, Task
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


@pytest.mark.parametrize(("how", "woken"), [(WorkerPool.wake_for_one, 1), (WorkerPool.wake_one, 2)])
def test_the_next_is_woken_only_where_more_may_be_queued(
    world: World, monkeypatch: pytest.MonkeyPatch, how: Callable[[WorkerPool], None], woken: int
) -> None:
    context = world.context(worker={"threads": THREADS})
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    pool = WorkerPool(context, this_instance())
    wakes: list[None] = []
    for service in pool.services:
        monkeypatch.setattr(service, "wake", lambda: wakes.append(None))
    how(pool)
    pool.claim_and_run(0)
    assert len(wakes) == woken
    assert world.status(sync_id) == "imported"


@pytest.mark.parametrize(("jobs", "how"), [(1, "wake_for_one"), (2, "wake_one")])
def test_new_bundles_that_were_recorded_together_wake_more_than_one_worker(
    world: World, monkeypatch: pytest.MonkeyPatch, jobs: int, how: str
) -> None:
    daemon, wakes = Daemon(world.settings(queue={"auto": ["create"]})), list[str]()
    for name in ("wake_for_one", "wake_one"):
        monkeypatch.setattr(daemon.worker_pool, name, partial(wakes.append, name))
    read = partial(delivery.read, daemon.context)
    sync_ids = [world.put(photo(str(number))) for number in range(jobs)]
    recorder = daemon.scanner._recorder
    recorder.handle([Outcome(Task(sync_id, None), read(sync_id)) for sync_id in sync_ids])
    daemon.stop()
    assert wakes == [how]

"""Manifests of jobs that are set aside are looked at, by workers that have no other job."""

import threading
import time
from typing import Any

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount.records import ManifestReading
from ingestd.pipeline import looks as looks_module
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool
from ingestd.store import control
from support.faulty_fuse import FaultyFuse
from support.reaped import until_reaped
from support.scale import IS_SOAK
from support.troubles import (
    LATE,
    Looks,
    Trouble,
    bundle,
    cut_short,
    make_context,
    make_quick,
    manifest_away,
    manifest_error,
    sentinel_away,
)
from support.wait import until
from support.workers import is_imported, queued, run_all
from support.world import World, photo


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@pytest.fixture
def context(world: World, faulty: FaultyFuse) -> Context:
    return make_context(world, faulty, LATE)


def test_looks_take_no_helpers_where_manifests_hang(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_module, "LOOK_SECONDS", 0.2)
    late, healthy = [world.put(photo(f"b{number}")) for number in range(12)], world.put(photo("healthy"))
    pool = queued(world, context, *late)
    heal = [sentinel_away(world, faulty, sync_id) for sync_id in late]
    run_all(pool)
    for sync_id, cure in zip(late, heal, strict=True):
        faulty.hang(f"sync/{sync_id}.json", "open")
        cure()
    until(lambda: run_all(pool) and len(faulty.met) >= 12, what=lambda: str(len(faulty.met)))
    assert context.mount.hung_manifests <= 4
    enqueue(context, QueueRequest(healthy, "tester"))
    until(lambda: is_imported(world, pool, healthy))
    faulty.clear()
    until(lambda: all(is_imported(world, pool, sync_id) for sync_id in late))
    until_reaped(context.mount)


@pytest.mark.parametrize("count", [1, 16])
def test_stopping_waits_for_one_look_at_most(world: World, faulty: FaultyFuse, context: Context, count: int) -> None:
    late = [world.put(photo(f"b{number}")) for number in range(count)]
    pool = queued(world, context, *late)
    for sync_id in late:
        cut_short(world, faulty, sync_id)
    run_all(pool)
    looks, real = Looks(context), context.mount.read_manifest

    def stop_and_read(*arguments: Any, **options: Any) -> ManifestReading:
        pool.stop()
        return real(*arguments, **options)

    context.mount.read_manifest = stop_and_read  # type: ignore[method-assign]
    until(lambda: (pool.claim_and_run(0), looks.count)[1] >= 1)
    assert looks.count == 1


def test_looks_that_are_silent_do_not_slow_down_claims(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_module, "LOOK_SECONDS", 0.2)
    late, healthy = ([world.put(photo(f"{name}{number}")) for number in range(6)] for name in ("b", "h"))
    pool = queued(world, context, *late)
    heal = [sentinel_away(world, faulty, sync_id) for sync_id in late]
    run_all(pool)
    for sync_id, cure in zip(late, heal, strict=True):
        faulty.hang(f"sync/{sync_id}.json", "open")
        cure()
    for sync_id in healthy:
        enqueue(context, QueueRequest(sync_id, "tester"), plan_up_to=0)
    until(lambda: pool._looks.look(1) or faulty.met)
    met = len(faulty.met)
    for sync_id in healthy:
        assert pool.claim_and_run(0) == 0.0
        assert world.status(sync_id) == "imported"
    assert len(faulty.met) <= met + 1
    faulty.clear()


@pytest.mark.parametrize("ends_by", ["time", "stop"])
def test_a_look_at_a_manifest_that_comes_in_drips_ends(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    late = world.put(photo("b"))
    pool = queued(world, context, late)
    heal = sentinel_away(world, faulty, late)
    run_all(pool)
    heal()
    faulty.drip(f"sync/{late}.json", 0.2)
    if ends_by == "stop":
        monkeypatch.setattr(looks_module, "LOOK_SECONDS", 600.0)

        def stop() -> None:
            until(lambda: faulty.met)
            pool.stop()

        stopping = threading.Thread(target=stop)
        stopping.start()
        until(lambda: pool.claim_and_run(0) and pool._stopping.is_set())
        stopping.join()
    else:
        until(lambda: pool._looks.look(1), what="for the end of the look: the run has all the time")
    faulty.clear()


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [6.0] if IS_SOAK else [1.0])
def test_a_slow_manifest_is_read_although_another_one_hangs(
    world: World, faulty: FaultyFuse, context: Context, seconds: float
) -> None:
    slow, other = world.put(photo("slow")), world.put(photo("other"))
    pool = queued(world, context, slow)
    faulty.hang(f"sync/{other}.json")
    with pytest.raises(MountUnavailable):
        context.mount.read_manifest(other, deadline=0.3)
    faulty.slow(f"sync/{slow}.json", seconds, "open")
    assert is_imported(world, pool, slow)
    faulty.clear()


@pytest.mark.parametrize("why", ["cancelled", "paused", "taken by another host"])
def test_what_cannot_be_claimed_is_not_looked_at(world: World, context: Context, faulty: FaultyFuse, why: str) -> None:
    late = world.put(photo("b"))
    pool = queued(world, context, late)
    sentinel_away(world, faulty, late)
    run_all(pool)
    if why == "cancelled":
        cancel(context, late, "olivia")
    elif why == "paused":
        context.db.transaction(lambda tx: control.pause(tx, "olivia", None))
    else:
        world.sql("UPDATE import_job SET state = 'running'")
    looks = Looks(context)
    over = time.monotonic() + 1.0
    until(lambda: (pool.claim_and_run(0), time.monotonic())[1] > over)
    assert looks.count == 0


def test_after_a_pause_of_the_queue_it_is_looked_at_soon(world: World, context: Context, faulty: FaultyFuse) -> None:
    late = world.put(photo("b"))
    pool = queued(world, context, late)
    heal = sentinel_away(world, faulty, late)
    run_all(pool)
    context.db.transaction(lambda tx: control.pause(tx, "olivia", None))
    over = time.monotonic() + 1.0
    until(lambda: pool.claim_and_run(0) and time.monotonic() > over)
    heal()
    context.db.transaction(control.resume)
    until(lambda: is_imported(world, pool, late), seconds=10)


@pytest.mark.parametrize("trouble", [cut_short, manifest_away, sentinel_away, manifest_error])
def test_the_ledger_does_not_grow_while_a_manifest_is_away(
    world: World, faulty: FaultyFuse, context: Context, trouble: Trouble
) -> None:
    late = [bundle(world, f"late {number}") for number in range(3)]
    world.scan(context)
    for sync_id in late:
        enqueue(context, QueueRequest(sync_id, "tester"))
    heal = [trouble(world, faulty, sync_id) for sync_id in late]
    pool, looks = WorkerPool(context, this_instance()), Looks(context)

    def were_looked_at() -> bool:
        run_all(pool)
        return looks.count >= 30

    until(were_looked_at, what="for many looks at the manifests")
    for sync_id in late:
        kinds = [kind for kind, _ in world.events(sync_id)]
        assert (kinds.count("job_claimed"), kinds.count("job_released")) == (1, 1)
    for cure in heal:
        cure()
    until(lambda: all(is_imported(world, pool, sync_id) for sync_id in late), what="for the imports")

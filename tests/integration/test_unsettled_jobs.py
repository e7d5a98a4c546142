"""A job whose bundle cannot be read at present is set aside: it keeps no worker, and runs once that can be read."""

import errno
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount import reader
from ingestd.mount.records import ManifestReading
from ingestd.pipeline import ahead, claim_pace, unsettled
from ingestd.pipeline import looks as looks_module
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import grace
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool, is_open
from ingestd.store import control
from support.faulty_fuse import FaultyFuse
from support.faulty_helper import MARKED, inject
from support.reaped import until_reaped
from support.scale import IS_SOAK
from support.wait import until
from support.workers import is_imported, queued, run_all
from support.world import World, cover, photo

LATE = 600.0
"""Who waited for what cannot be read would wait this long."""
Trouble = Callable[[World, FaultyFuse, str], Callable[[], object]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsettled, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(unsettled, "MAX_PAUSE", 0.2)
    monkeypatch.setattr(grace, "IN_WORKER_SECONDS", 0.05)
    monkeypatch.setattr(grace, "WHOLE_SECONDS", 0.0)
    monkeypatch.setattr(reader, "MAX_PAUSE", 0.1)
    # What is out of order here was in order when the bundle was recorded: each run reads for itself.
    monkeypatch.setattr(ahead, "MAX_AGE", -1.0)


def make_context(world: World, faulty: FaultyFuse, settle_seconds: float) -> Context:
    return world.context(mount={"root": str(faulty.point), "settle_seconds": settle_seconds})


@pytest.fixture
def context(world: World, faulty: FaultyFuse) -> Context:
    return make_context(world, faulty, LATE)


def bundle(world: World, name: str) -> str:
    """Two items and a cover, each with a document and a file."""
    sync_id = world.put(photo(name), photo(f"{name} too"), cover(f"{name}'s cover", name))
    for path in (photo(name)["path"], photo(f"{name} too")["path"]):
        world.file(f"{path}/source/source.json", b"{}")
    return sync_id


def cut_short(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    return lambda: path.write_bytes(whole)


def manifest_away(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.json"
    whole = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(whole)


def sentinel_away(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.ready"
    path.unlink()
    return path.touch


def manifest_error(_world: World, faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    faulty.fail(f"sync/{sync_id}.json")
    return faulty.clear


def document_error(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source/source.json")
    return faulty.clear


def document_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source/source.json", errno.EACCES, "open")
    return faulty.clear


def file_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/0.jpg", errno.EPERM, "lookup")
    return faulty.clear


def folder_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source", errno.EACCES, "lookup")
    return faulty.clear


def file_not_listed_yet(world: World, _faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    path = world.root / photo("b")["path"] / "0.jpg"
    whole = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(whole)


OF_ITEMS = (document_error, file_not_listed_yet, document_without_rights, file_without_rights, folder_without_rights)
TROUBLES = [cut_short, manifest_away, sentinel_away, manifest_error, *OF_ITEMS]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_next_job_runs_meanwhile(world: World, faulty: FaultyFuse, context: Context, trouble: Trouble) -> None:
    late, healthy = bundle(world, "b"), bundle(world, "healthy")
    world.scan(context)
    for sync_id in (late, healthy):
        enqueue(context, QueueRequest(sync_id, "tester"))
    heal = trouble(world, faulty, late)
    pool = WorkerPool(context, this_instance())
    run_all(pool)
    assert (world.status(late), world.status(healthy)) == ("queued", "imported")
    reason = world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", late)
    assert str(reason).startswith("waiting, and tried again: ")
    released = [payload["reason"] for kind, payload in world.events(late) if kind == "job_released"]
    assert set(released) == {grace.ITEMS if trouble in OF_ITEMS else grace.MANIFEST}
    heal()
    until(lambda: is_imported(world, pool, late), what=lambda: str(world.decisions(late)))
    assert world.one("SELECT COUNT(*) FROM import_job") == 2
    assert world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", late) is None


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


class Looks:
    """Counts how often a context reads manifests."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self._real = context.mount.read_manifest
        context.mount.read_manifest = self._noting  # type: ignore[method-assign]

    def _noting(self, *arguments: Any, **options: Any) -> ManifestReading:
        self.count += 1
        return self._real(*arguments, **options)


@pytest.mark.parametrize("trouble", [cut_short, sentinel_away, document_error])
def test_it_is_given_up_after_settling(world: World, faulty: FaultyFuse, trouble: Trouble) -> None:
    context = make_context(world, faulty, 0.7)
    late = bundle(world, "b")
    world.scan(context)
    enqueue(context, QueueRequest(late, "tester"))
    trouble(world, faulty, late)
    pool = WorkerPool(context, this_instance())

    def has_ended() -> bool:
        run_all(pool)
        return bool(world.one("SELECT state IN ('done', 'failed') FROM import_job"))

    until(has_ended, what="for the end of the job")
    kinds = [kind for kind, _ in world.events(late)]
    assert 1 <= kinds.count("job_released") < 10
    assert world.status(late) in ("invalid", "partial")
    assert context.unsettled.now() == []


def test_what_is_set_aside_can_be_cancelled(world: World, faulty: FaultyFuse, context: Context) -> None:
    late = bundle(world, "b")
    world.scan(context)
    enqueue(context, QueueRequest(late, "tester"))
    sentinel_away(world, faulty, late)
    run_all(WorkerPool(context, this_instance()))
    assert cancel(context, late, "olivia").state == "cancelled"


def test_each_item_has_the_whole_time_since_the_last_progress(world: World, faulty: FaultyFuse) -> None:
    context = make_context(world, faulty, 30.0)
    late = bundle(world, "b")
    world.scan(context)
    job_id = enqueue(context, QueueRequest(late, "tester")).job.id
    first, second = (f"{photo(name)['path']}/source/source.json" for name in ("b", "b too"))
    pool = WorkerPool(context, this_instance())
    faulty.fail(first)
    faulty.fail(second)
    run_all(pool)
    until(lambda: run_all(pool) and (context.unsettled.waited(job_id, grace.ITEMS) or 0.0) > 0.5)
    del faulty.faults[first]
    until(lambda: decided(world, pool, late) == 1, what=lambda: str(world.decisions(late)))
    assert (context.unsettled.waited(job_id, grace.ITEMS) or 0.0) < 0.5


def decided(world: World, pool: WorkerPool, sync_id: str) -> int:
    run_all(pool)
    return list(world.decisions(sync_id).values()).count("created")


@pytest.mark.parametrize("beside", ["failed", "two failed", "deferred", "failed cover"])
def test_it_is_given_up_also_beside_items_that_are_tried_again_each_time(
    world: World, faulty: FaultyFuse, beside: str
) -> None:
    context = make_context(world, faulty, 1.2)
    others = {
        "failed": [photo("a")], "two failed": [photo("a"), photo("z")],
        "deferred": [cover("lost", "nowhere")], "failed cover": [photo("p"), cover("a", "p")],
    }[beside]  # fmt: skip
    late = world.put(photo("b"), *others)
    for item in others:
        for file in (world.root / item.get("path", "nowhere")).glob("*.jpg"):
            file.write_bytes(b"longer than the manifest says")
    world.file(f"{photo('b')['path']}/source/source.json", b"{}")
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    until(
        lambda: (run_all(pool), world.one("SELECT state FROM import_job"))[1] == "done",
        what=lambda: str(world.events(late)),
    )
    assert world.decisions(late)[photo("b")["hash"]] == "failed:file_unreadable"
    assert [kind for kind, _ in world.events(late)].count("job_released") < 15


def test_it_is_given_up_where_two_causes_take_turns(world: World, faulty: FaultyFuse) -> None:
    context = make_context(world, faulty, 1.2)
    late = bundle(world, "b")
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    heal: list[Callable[[], object]] = []

    def has_ended() -> bool:
        run_all(pool)
        heal.pop()() if heal else heal.append(sentinel_away(world, faulty, late))
        return world.one("SELECT state FROM import_job") in ("done", "failed")

    until(has_ended, what=lambda: str(world.events(late)))


@pytest.mark.parametrize("trouble", [document_error, sentinel_away])
def test_an_outage_of_the_mount_does_not_use_up_its_time(world: World, faulty: FaultyFuse, trouble: Trouble) -> None:
    context = make_context(world, faulty, 3.0)
    late = bundle(world, "b")
    pool = queued(world, context, late)
    heal = trouble(world, faulty, late)
    run_all(pool)
    away = world.root.rename(world.root.with_name("away"))
    until(lambda: not is_open(context))
    over = time.monotonic() + 3.2
    until(lambda: pool.claim_and_run(0) > 0 and time.monotonic() > over)
    away.rename(world.root)
    until(lambda: is_open(context))
    run_all(pool)
    assert world.status(late) == "queued"
    heal()
    until(lambda: is_imported(world, pool, late))


def test_what_is_set_aside_makes_claims_no_slower(world: World, faulty: FaultyFuse, context: Context) -> None:
    """Also while its release takes longer than its pause."""
    late, healthy = bundle(world, "b"), bundle(world, "healthy")
    pool = queued(world, context, late, healthy)
    document_error(world, faulty, late)
    real = context.unsettled.add

    def add_long_before(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        context.unsettled.add = real  # type: ignore[method-assign]
        until(lambda: not context.unsettled.now())

    context.unsettled.add = add_long_before  # type: ignore[method-assign]
    assert pool.claim_and_run(0) == 0.0
    until(lambda: pool.claim_and_run(0) == 0.0 and world.status(healthy) == "imported", seconds=10)


def test_while_claims_are_slow_it_does_not_take_the_place_of_others(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_pace, "FIRST_PAUSE", 0.1)
    late = [bundle(world, f"b{number}") for number in range(8)]
    healthy = bundle(world, "healthy")
    pool = queued(world, context, *late, healthy)
    for number in range(8):
        faulty.fail(f"{photo(f'b{number}')['path']}/source/source.json")
    pool._pace.released(time.monotonic())
    until(lambda: pool.claim_and_run(0) < 1.0 and world.status(healthy) == "imported", seconds=10)
    kinds = [kind for sync_id in late for kind, _ in world.events(sync_id)]
    assert kinds.count("job_claimed") <= 16


@pytest.mark.parametrize("count", [1, 6])
def test_those_that_may_always_be_tried_leave_every_other_claim_to_others(
    world: World, faulty: FaultyFuse, context: Context, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(unsettled, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(unsettled, "MAX_PAUSE", 0.0)
    late = [bundle(world, f"b{number}") for number in range(count)]
    pool = queued(world, context, *late)
    for number in range(count):
        faulty.fail(f"{photo(f'b{number}')['path']}/source/source.json")
    until(lambda: pool.claim_and_run(0) == 0.0 and len(context.unsettled.known()) == count)
    healthy = bundle(world, "healthy")
    queued(world, context, healthy)
    for _ in range(2):
        assert pool.claim_and_run(0) == 0.0
    assert world.status(healthy) == "imported"


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


@pytest.mark.parametrize("word", ["{}", '"raise"', '"memory"', '"hang"', '"kill"'])
def test_it_is_given_up_beside_an_item_that_is_read_alone(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    inject(monkeypatch, MARKED)
    mount = {"root": str(faulty.point), "settle_seconds": 1.2, "deadline": 0.5}
    context = world.context(mount=mount)
    late = world.put(photo("b"), photo("c"))
    world.file(f"{photo('b')['path']}/source/source.json", b"{}")
    world.file(f"{photo('c')['path']}/source/source.json", word.encode())
    pool = queued(world, context, late)
    document_error(world, faulty, late)
    until(lambda: pool.claim_and_run(0) and world.one("SELECT state FROM import_job") == "done")
    assert [kind for kind, _ in world.events(late)].count("job_released") < 25


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

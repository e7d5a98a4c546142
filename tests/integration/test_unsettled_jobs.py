"""A job whose bundle cannot be read at present is set aside: it keeps no worker, and runs once that can be read."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.mount import reader
from ingestd.mount.records import ManifestReading
from ingestd.pipeline import claim_pace
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import grace
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool
from support.faulty_fuse import FaultyFuse, faulty_fuse
from support.wait import until
from support.world import World, cover, photo

LATE = 600.0
"""Who waited for what cannot be read would wait this long."""
Trouble = Callable[[World, FaultyFuse, str], Callable[[], object]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_pace, "FIRST_UNSETTLED", 0.2)
    monkeypatch.setattr(claim_pace, "MAX_UNSETTLED", 0.2)
    monkeypatch.setattr(grace, "IN_WORKER_SECONDS", 0.05)
    monkeypatch.setattr(grace, "WHOLE_SECONDS", 0.0)
    monkeypatch.setattr(reader, "MAX_PAUSE", 0.1)


@pytest.fixture
def faulty(world: World, tmp_path: Path) -> Iterator[FaultyFuse]:
    with faulty_fuse(world.root, tmp_path / "mnt") as made:
        yield made


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


def run_all(pool: WorkerPool) -> None:
    """One worker runs all jobs that may be claimed now."""
    while pool.claim_and_run(0) == 0.0:
        pass


def is_imported(world: World, pool: WorkerPool, sync_id: str) -> bool:
    run_all(pool)
    return world.status(sync_id) == "imported"


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
    faulty.fail(f"{photo('b')['path']}/0.jpg", errno.EPERM, "open")
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
    began = context.unsettled.since(job_id, grace.ITEMS)
    assert began is not None
    del faulty.faults[first]
    until(lambda: decided(world, pool, late) == 1, what=lambda: str(world.decisions(late)))
    again = context.unsettled.since(job_id, grace.ITEMS)
    assert again is not None
    assert again > began


def decided(world: World, pool: WorkerPool, sync_id: str) -> int:
    run_all(pool)
    return list(world.decisions(sync_id).values()).count("created")

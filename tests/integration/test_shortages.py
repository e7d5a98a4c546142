"""Too few descriptors, threads, processes or disk: jobs are put back, services wait, and no bundle is at fault."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import BaseObserver

from ingestd import service
from ingestd.errors import HelperFailed, OtherRelease, Shortage
from ingestd.model import RequestKind
from ingestd.mount import access, helper_pool
from ingestd.mount.access import Mount
from ingestd.pipeline import delivery
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import bundle_importer, chunk_writer, container_writer, grace, prepared_chunk, suspects
from ingestd.pipeline.importer import run as run_module
from ingestd.pipeline.inotify import FolderEmitter
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.requests import RequestRunner
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.watcher import Watcher
from ingestd.service import Service
from ingestd.web.api.health import reasons_of_mount
from support.faulty_helper import inject
from support.logged import logged_by
from support.mounts import Folder
from support.requests import accept
from support.wait import until
from support.world import World, md5, photo

SHORTAGES = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("can't start new thread"),
]
NAMES = [errno.errorcode[error.errno or 0] if isinstance(error, OSError) else "thread" for error in SHORTAGES]
each_shortage = pytest.mark.parametrize("error", SHORTAGES, ids=NAMES)
PLACES: dict[str, tuple[Any, str]] = {
    "checking the mount": (access, "mount_point"),
    "opening": (bundle_importer, "Opening"),
    "deciding": (prepared_chunk, "evaluate"),
    "writing items": (chunk_writer, "write_library"),
    "writing containers": (container_writer, "write_members"),
    "starting a helper": (helper_pool, "HelperProcess"),
}
NO_THREADS = """
import threading
def start(self): raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
NO_DESCRIPTORS = """
import resource
from ingestd.mount import items, manifests, sync_folder
def without(real):
    def limited(*arguments, **options):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        return real(*arguments, **options)
    return limited
items.ItemReader._read = without(items.ItemReader._read)
manifests.open_manifest = without(manifests.open_manifest)
sync_folder.open_in_root = without(sync_folder.open_in_root)
"""
CANNOT_BEGIN = ["raise MemoryError", "import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)"]


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return raise_


def queued(world: World) -> str:
    sync_id = world.put(
        photo("a"), photo("b"), photo("c"), containers=[{"type": "gallery", "hash": md5("g"), "items": [md5("a")]}]
    )
    context = world.context()
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def demand_put_back(world: World, sync_id: str) -> None:
    assert world.status(sync_id) == "queued"
    assert world.one("SELECT COUNT(*) FROM ingest_batch_item WHERE decision = 'failed'") == 0
    assert world.one("SELECT state FROM import_job") == "queued"


@each_shortage
@pytest.mark.parametrize("place", PLACES)
def test_a_run_puts_its_job_back(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str) -> None:
    sync_id, context = queued(world), world.context()
    with monkeypatch.context() as patched:
        logged = logged_by(run_module, patched)
        inject(patched, "pass")  # so that no helper is left from another test
        patched.setattr(*PLACES[place], raising(error))
        assert world.run_next(context) == "released"
    (line,) = logged.of("job_released")
    assert line["reason"] == "shortage"
    assert not logged.of("job_crashed")
    demand_put_back(world, sync_id)
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"


@pytest.mark.parametrize("place", PLACES)
def test_a_job_that_lacks_memory_is_set_aside_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    sync_id, context = queued(world), world.context(mount={"settle_seconds": 100.0})
    with monkeypatch.context() as patched:
        inject(patched, "pass")
        patched.setattr(suspects, "PAUSE", 0.01)
        patched.setattr(*PLACES[place], raising(MemoryError()))
        assert world.run_next(context) == "aside"
        demand_put_back(world, sync_id)
        (job_id,) = context.unsettled.now()
        context.unsettled._waits[job_id].waited[grace.MEMORY] = 100.0
        assert world.run_next(context) == "failed"
    assert world.one("SELECT retry_at IS NOT NULL FROM ingest_batch") == 1


@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("code", [NO_THREADS, NO_DESCRIPTORS, *CANNOT_BEGIN])
def test_a_helper_that_lacks_something_costs_no_item(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str, workers: int
) -> None:
    sync_id = queued(world)
    context = world.context(mount={"readers": workers})
    with monkeypatch.context() as patched:
        patched.setattr(Mount, "is_remote", True)
        inject(patched, code)
        assert world.run_next(context) == "released"
        demand_put_back(world, sync_id)
    assert world.run_next(world.context()) == "done"
    assert world.status(sync_id) == "imported"


@pytest.mark.parametrize("code", [NO_THREADS, NO_DESCRIPTORS, *CANNOT_BEGIN])
def test_items_that_a_helper_cannot_read_for_lack_of_something_have_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    folder = Folder(tmp_path / "assets")
    folder.item("a", b"{}")
    mount = folder.mount()
    inject(monkeypatch, code)
    try:
        with pytest.raises(Shortage) as caught:
            folder.read(mount)
    finally:
        mount.close()
    assert not isinstance(caught.value, HelperFailed)


@each_shortage
def test_a_bundle_is_not_stuck_but_read_again(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"))
    for owner, name in ((delivery, "read"), (delivery, "columns_of")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, raising(error))
            with pytest.raises(Shortage):
                scanner.scan()
    assert not scanner.stuck
    assert scanner.scan() == [sync_id]


@pytest.mark.parametrize("code", [NO_THREADS, NO_DESCRIPTORS])
def test_a_listing_that_lacks_something_says_nothing_about_the_folder(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    sync_id, context = world.put(photo("a")), world.context()
    scanner = Scanner(context)
    with monkeypatch.context() as patched:
        inject(patched, code)
        with pytest.raises(Shortage):
            scanner.scan()
    context.mount.check()
    assert reasons_of_mount(context.mount) == []
    assert world.sql("SELECT listing_problem FROM ingest_mount WHERE listing_problem IS NOT NULL") == []
    assert scanner.scan() == [sync_id]


def test_a_listing_after_another_release_was_installed_says_nothing_about_the_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    monkeypatch.setattr(context.mount, "list_sentinels", raising(OtherRelease("another release was installed")))
    with pytest.raises(OtherRelease):
        Scanner(context).scan()
    assert context.mount.listing_problem is None


@each_shortage
def test_a_request_is_put_back(world: World, error: Exception) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    accept(world, sync_id)
    runner = RequestRunner(context, this_instance(), RequestKind.PREFLIGHT, raising(error))
    with pytest.raises(Shortage):
        runner.run_next()
    assert world.one("SELECT state FROM ingest_request") == "queued"


@pytest.mark.parametrize("error", [*SHORTAGES, MemoryError()], ids=[*NAMES, "memory"])
def test_a_service_waits_and_logs_that_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    logged, rounds = logged_by(service, monkeypatch), threading.Semaphore(0)
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.01)

    def step() -> float:
        rounds.release()
        raise error

    made = Service("worker", step)
    made.start()
    for _ in range(3):
        assert rounds.acquire(timeout=30.0)
    made.stop()
    assert made.join(30.0)
    assert [line["service"] for line in logged.of("waiting")] == ["worker"]
    assert not logged.of("service_failed")


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[tuple[Watcher, Path]]:
    folder = Folder(tmp_path / "assets")
    (folder.root / "sync").mkdir(parents=True, exist_ok=True)
    mount = folder.mount()
    made = Watcher(mount, lambda _names: None, lambda _name: False)
    mount.check()
    yield made, folder.root
    made.stop()
    mount.close()


@pytest.mark.parametrize("lacking", [FolderEmitter, BaseObserver])
def test_a_watch_that_lacks_threads_leaves_nothing_open(
    watching: tuple[Watcher, Path], monkeypatch: pytest.MonkeyPatch, lacking: type[threading.Thread]
) -> None:
    start_thread = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if isinstance(thread, lacking):
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    made, _ = watching
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                made.run_once()
    assert len(os.listdir("/proc/self/fd")) == before
    made.run_once()
    assert made.kind == "inotify"


def test_a_watch_that_cannot_be_had_leaves_nothing_open(watching: tuple[Watcher, Path]) -> None:
    made, root = watching
    (root / "sync").rmdir()
    made.run_once()  # starts a helper
    made.stop()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        made.run_once()
        made.stop()
    until(lambda: len(os.listdir("/proc/self/fd")) == before)

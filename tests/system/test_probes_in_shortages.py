"""Probes of manifests while their helper lacks threads, descriptors or memory: nothing is taken for what it is not."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import OtherRelease, Shortage
from ingestd.mount import prober as prober_module
from ingestd.mount.probe_helper import ProbeHelper
from ingestd.mount.prober import Prober
from support.faulty_fuse import FaultyFuse
from support.faulty_helper import inject
from support.hanging_manifests import hang, pid_of, ping_often, waited
from support.reaped import until_reaped
from support.wait import until
from support.world import World, photo

NO_THREADS = """
import threading
def start(self): raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
NO_THREADS_WHILE = """
import os, threading
real = threading.Thread.start
def start(self):
    if os.path.exists({lack!r}):
        raise RuntimeError("can't start new thread")
    real(self)
threading.Thread.start = start
"""


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return fail


@pytest.fixture
def pinging(monkeypatch: pytest.MonkeyPatch) -> None:
    ping_often(monkeypatch)


@pytest.mark.parametrize("code", ["raise MemoryError", "import os; os._exit(76)", "", NO_THREADS])
def test_what_cannot_be_probed_for_lack_of_something_stays_asked(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    mount = world.context(mount={"root": faulty.point, "deadline": 0.2}).mount
    (bad,), good, prober = hang(world, faulty, 1), world.put(photo("good")), mount.prober
    with monkeypatch.context() as patched:
        inject(patched, code)
        if not code:
            patched.setattr(subprocess, "Popen", raising(OSError(errno.EAGAIN, "Resource temporarily unavailable")))
        for sync_id in (bad, good):
            prober.ask(sync_id)
        until(lambda: waited(prober).problem is not None)
        assert [prober.take(sync_id) for sync_id in (bad, good)] == [None, None]
        if code != NO_THREADS:
            assert waited(prober).silent_for(good) == 0.0
            with pytest.raises(OtherRelease if "76" in code else Shortage):
                mount.manifest_answers(good, 0.1)
    if code == NO_THREADS:
        os.kill(pid_of(prober), signal.SIGKILL)
    until(lambda: waited(prober).take(good) is not None)
    until(lambda: faulty.met)
    assert waited(prober).take(bad) is None
    assert prober.problem is None
    faulty.clear()
    until_reaped(mount)


@pytest.mark.usefixtures("pinging")
def test_a_helper_that_lacks_threads_for_a_while_is_kept(
    world: World, faulty: FaultyFuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prober = world.context(mount={"root": faulty.point, "deadline": 0.2}).mount.prober
    good, lack = world.put(photo("good")), tmp_path / "lack"
    lack.touch()
    inject(monkeypatch, NO_THREADS_WHILE.format(lack=str(lack)))
    prober.ask(good)
    first = pid_of(prober)
    until(lambda: isinstance(waited(prober).problem, Shortage))
    before = prober.silent_for(good)
    until(lambda: waited(prober).silent_for(good) < before, what="for its time to begin again")
    assert prober.take(good) is None
    lack.unlink()
    until(lambda: waited(prober).take(good) is not None)
    assert (pid_of(prober), prober.problem) == (first, None)


@contextmanager
def few_descriptors(prober: Prober, more: int) -> Iterator[None]:
    """The helper may open only so many more."""
    pid = pid_of(prober)
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1 + more, usual[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


@pytest.mark.usefixtures("pinging")
def test_a_helper_that_lacks_descriptors_for_a_while_is_kept(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,), prober = hang(world, faulty, 1), mount.prober
    prober.ask(bad)
    until(lambda: faulty.met)
    first = pid_of(prober)
    with few_descriptors(prober, 0):
        until(lambda: isinstance(waited(prober).problem, Shortage))
        assert (pid_of(prober), prober.take(bad)) == (first, None)
    good = world.put(photo("good"))
    prober.ask(good)
    until(lambda: waited(prober).take(good) is not None)
    assert (pid_of(prober), prober.problem, prober.take(bad)) == (first, None, None)
    faulty.clear()
    until_reaped(mount)


def test_without_descriptors_what_hangs_is_not_taken_for_readable(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    prober = mount.prober
    healthy = world.put(photo("healthy"))
    prober.ask(healthy)
    until(lambda: waited(prober).take(healthy) is not None)
    bad = sorted(hang(world, faulty, 6))
    with few_descriptors(prober, 4):
        for sync_id in [*bad, healthy]:
            prober.ask(sync_id)
        until(lambda: faulty.met)
        for _ in range(10):
            prober.wait(0.1)
        assert [sync_id for sync_id in bad if prober.take(sync_id) is not None] == []
    until(lambda: waited(prober).take(healthy) is not None, what="for a descriptor")
    until(lambda: set(faulty.met) == {f"sync/{sync_id}.json" for sync_id in bad})
    faulty.clear()
    for sync_id in bad:
        until(lambda sync_id=sync_id: waited(prober).take(sync_id) is not None)  # type: ignore[misc]


@pytest.mark.parametrize(("files", "probes"), [(8192, 256), (1028, 253), (256, 60), (64, 12), (16, 1)])
def test_few_descriptors_bound_the_probes(monkeypatch: pytest.MonkeyPatch, files: int, probes: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (files, 8192))
    assert prober_module.max_probes() == probes


def test_a_shortage_that_has_passed_is_not_reported(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    first, second = sorted(hang(world, faulty, 2))
    assert not mount.manifest_answers(first, 0.2)
    real, lacked = ProbeHelper.receive, list[str]()

    def lack_once(self: ProbeHelper, *arguments: Any) -> None:
        if not lacked:
            lacked.append("")
            raise Shortage("can't start new thread")
        real(self, *arguments)

    monkeypatch.setattr(ProbeHelper, "receive", lack_once)
    with suppress(Shortage):
        mount.manifest_answers(first, 0.5)
    until(lambda: lacked)
    assert not mount.manifest_answers(second, 0.2)
    faulty.clear()

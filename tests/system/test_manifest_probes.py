"""The helper that finds out which manifests can be read: what it does when they, their mount or it itself hang."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import MountUnavailable, ReadsHang
from ingestd.mount import access, manifest_answers, probe_helper
from ingestd.mount import prober as prober_module
from ingestd.mount.helper_process import HelperProcess
from ingestd.mount.mountinfo import MountPoint
from ingestd.mount.prober import RESTART_SECONDS
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.faulty_fuse import Fault, FaultyFuse
from support.faulty_helper import inject
from support.hanging_manifests import hang, pid_of, ping_often, waited
from support.reaped import until_reaped
from support.wait import until
from support.world import World, photo

DIES = """
import os
from ingestd.mount import manifests
manifests.try_to_read = lambda root, sync_id: os._exit(1)
"""


@pytest.fixture
def pinging(monkeypatch: pytest.MonkeyPatch) -> None:
    ping_often(monkeypatch)


@pytest.mark.parametrize("hangs_again", [False, True])
def test_what_is_probed_in_a_mount_that_was_replaced_is_probed_again(
    world: World, faulty: FaultyFuse, hangs_again: bool
) -> None:
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    (bad,) = hang(world, faulty, 1)
    prober = mount.prober
    prober.ask(bad)
    until(lambda: faulty.met)
    prober.wait(0.2)
    assert (prober.is_busy, prober.take(bad)) == (True, None)
    again = FaultyFuse(world.root, faulty.point)
    again.mount()
    silent_for = prober.silent_for(bad)
    try:
        if hangs_again:
            again.hang(f"sync/{bad}.json")
            until(lambda: waited(prober) and again.met)
            assert prober.silent_for(bad) < silent_for, "it was silent in the former mount"
            assert waited(prober).take(bad) is None
            again.clear()
        until(lambda: waited(prober).take(bad) is not None)
        assert not prober.is_busy
    finally:
        again.unmount()
        faulty.clear()
    until_reaped(mount)


def test_a_mount_that_cannot_be_identified_is_not_another_one(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,), prober = hang(world, faulty, 1), mount.prober
    prober.ask(bad)
    until(lambda: faulty.met)
    looks: list[Path] = []

    def fail(root: Path) -> MountPoint:
        looks.append(root)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(access, "mount_point", fail)
    helper = prober._helpers[0]._helper
    until(lambda: waited(prober) and len(looks) > 2)
    assert (prober._helpers[0]._helper, prober.take(bad)) == (helper, None)
    faulty.clear()
    until_reaped(mount)


def test_a_probe_does_not_wait_for_all_of_a_manifest_that_comes_in_drips(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    sync_id = world.put(photo("drips"))
    faulty.drip(f"sync/{sync_id}.json", 0.05)
    mount.prober.ask(sync_id)
    until(lambda: waited(mount.prober).take(sync_id) is not None)
    assert 1 <= len(faulty.met) <= 2


def test_what_answered_before_is_asked_again(world: World, faulty: FaultyFuse) -> None:
    prober = world.context(mount={"root": faulty.point}).mount.prober
    (bad,) = hang(world, faulty, 1)
    path = f"sync/{bad}.json"
    prober.ask(bad)
    until(lambda: faulty.met)
    faulty.clear()
    other = world.put(photo("other"))
    prober.ask(other)
    until(lambda: not waited(prober).is_busy)
    assert prober.take(other) is not None
    faulty.hang(path)
    prober.ask(bad)
    until(lambda: faulty.met == [path, path])
    assert waited(prober).take(bad) is None
    faulty.clear()
    until(lambda: waited(prober).take(bad) is not None)


@pytest.mark.usefixtures("pinging")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_what_hangs_is_asked_again_when_its_helper_is_lost(
    world: World, faulty: FaultyFuse, number: signal.Signals
) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    bad, prober = sorted(hang(world, faulty, 5)), mount.prober
    for sync_id in bad:
        prober.ask(sync_id)
    until(lambda: len(faulty.met) == len(bad))
    silent_for, first = prober.silent_for(bad[0]), pid_of(prober)
    os.kill(first, number)
    good = world.put(photo("good"))
    prober.ask(good)
    until(lambda: waited(prober).take(good) is not None, what="for the answer of another helper")
    assert pid_of(prober) != first
    until(lambda: len(faulty.met) == 2 * len(bad))
    assert [sync_id for sync_id in bad if prober.take(sync_id) is not None] == []
    assert prober.silent_for(bad[0]) > silent_for
    faulty.clear()
    until(lambda: not waited(prober).is_busy)
    until_reaped(mount)


def test_helpers_that_end_each_time_are_started_once_a_second(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    sync_id, prober = world.put(photo("a")), mount.prober
    starts: list[float] = []

    def started(is_cancelled: Callable[[], bool]) -> HelperProcess:
        starts.append(time.monotonic())
        return HelperProcess(is_cancelled)

    monkeypatch.setattr(probe_helper, "HelperProcess", started)
    with monkeypatch.context() as patched:
        inject(patched, DIES)
        prober.ask(sync_id)
        until(lambda: waited(prober) and len(starts) > 2)
        assert (prober.is_busy, prober.take(sync_id)) == (True, None)
    assert min(after - before for before, after in pairwise(starts)) >= RESTART_SECONDS
    until(lambda: waited(prober).take(sync_id) is not None)
    assert prober.problem is None


@pytest.mark.usefixtures("pinging")
def test_what_hangs_in_lost_helpers_has_a_limit(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober_module, "MAX_PROBES", 3)
    monkeypatch.setattr(prober_module, "RESTART_SECONDS", 0.0)
    mount = world.context(mount={"root": faulty.point}).mount
    bad, prober = hang(world, faulty, 3), mount.prober
    for sync_id in bad:
        prober.ask(sync_id)
    for count in (3, 6):
        until(lambda count=count: waited(prober) and len(faulty.met) == count)  # type: ignore[misc]
        os.kill(pid_of(prober), signal.SIGKILL)
    good = world.put(photo("good"))
    prober.ask(good)
    until(
        lambda: all(waited(prober).is_waiting(sync_id) for sync_id in (*bad, good)), what="for the loss of the helper"
    )
    for _ in range(5):
        assert waited(prober).is_waiting(good)
    assert (len(faulty.met), prober.take(good)) == (6, None)
    faulty.clear()
    until(lambda: waited(prober).take(good) is not None)
    until(lambda: not waited(prober).is_busy)
    until_reaped(mount)


def test_nothing_is_awaited_once_it_is_closed(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,), prober = hang(world, faulty, 1), mount.prober
    prober.ask(bad)
    until(lambda: faulty.met)
    prober.close()
    prober.ask(world.put(photo("good")))
    assert waited(prober).take(bad) is not None
    faulty.clear()
    until_reaped(mount)


@pytest.mark.usefixtures("pinging")
def test_a_helper_whose_probes_hang_is_kept(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,), prober = hang(world, faulty, 1), mount.prober
    prober.ask(bad)
    helper, pings = prober._helpers[0]._helper, []
    assert helper is not None
    send = helper.send
    helper.send = lambda *request: pings.append(request) or send(*request)  # type: ignore[func-returns-value,method-assign]
    until(lambda: waited(prober) and len(pings) > 8, what="for signs of life")
    assert (prober._helpers[0]._helper, prober.is_busy, prober.take(bad)) == (helper, True, None)
    faulty.clear()
    until_reaped(mount)


def test_a_small_manifest_that_hangs_after_its_content_does_not_answer(world: World, faulty: FaultyFuse) -> None:
    """What is cached may be all but its end."""
    prober = world.context(mount={"root": faulty.point}).mount.prober
    bad, healthy = world.put(photo("bad")), world.put(photo("healthy"))
    faulty.faults[f"sync/{bad}.json"] = Fault("read", seconds=threading.TIMEOUT_MAX, is_midway=True)
    prober.ask(bad)
    until(lambda: faulty.met)
    prober.ask(healthy)
    until(lambda: waited(prober).take(healthy) is not None)
    assert prober.take(bad) is None
    faulty.clear()
    until(lambda: waited(prober).take(bad) is not None)


def test_what_finds_no_place_is_not_taken_for_hanging(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober_module, "MAX_PROBES", 3)
    monkeypatch.setattr(manifest_answers, "START_SECONDS", 1.0)
    mount = world.context(mount={"root": faulty.point}).mount
    healthy = world.put(photo("healthy"))
    for sync_id in hang(world, faulty, 3):
        assert not mount.manifest_answers(sync_id, 0.2)
    with pytest.raises(ReadsHang):
        mount.manifest_answers(healthy, 0.2)
    faulty.clear()
    assert mount.manifest_answers(healthy, 5.0)


@pytest.mark.parametrize(
    "read", [preflight, lambda context, sync_id: enqueue(context, QueueRequest(sync_id, "tester"))]
)
def test_commands_take_few_helpers_where_manifests_hang(world: World, faulty: FaultyFuse, read: Any) -> None:
    context = world.context(mount={"root": faulty.point, "deadline": 0.3})
    known = [world.put(photo(str(number))) for number in range(12)]
    world.scan(context)
    for sync_id in known:
        faulty.hang(f"sync/{sync_id}.json", "open")
    for sync_id in known:
        with pytest.raises(MountUnavailable):
            read(context, sync_id)
    assert context.mount.hung_manifests <= 2
    faulty.clear()
    until_reaped(context.mount)

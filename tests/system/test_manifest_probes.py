"""The helper that finds out which manifests can be read: what it does when they, their mount or it itself hang."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.mount import prober as prober_module
from ingestd.mount.prober import Prober
from support.faulty_fuse import FaultyFuse
from support.hanging_manifests import hang
from support.reaped import until_reaped
from support.wait import until
from support.world import World, photo


def test_what_is_probed_in_a_mount_that_was_replaced_is_probed_again(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    (bad,) = hang(world, faulty, 1)
    prober = mount.prober
    assert prober.ask(bad)
    until(lambda: faulty.met)
    prober.wait(0.2)
    assert (prober.is_busy, prober.take(bad)) == (True, None)
    again = FaultyFuse(world.root, faulty.point)
    again.mount()
    try:
        other = world.put(photo("other"))
        assert prober.ask(other)
        assert prober.take(bad) is not None, "the answer of the former mount is not waited for"
        prober.wait(5.0)
        assert prober.take(other) is not None
        assert not prober.is_busy
    finally:
        again.unmount()
        faulty.clear()
    until_reaped(mount)


def test_a_probe_does_not_wait_for_more_than_the_first_read(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    sync_id = world.put(photo("drips"))
    faulty.slow(f"sync/{sync_id}.json", 0.05)
    assert mount.prober.ask(sync_id)
    mount.prober.wait(5.0)
    assert mount.prober.take(sync_id) is not None
    assert faulty.met == [f"sync/{sync_id}.json"]


def test_a_probe_whose_helper_dies_is_answered(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,) = hang(world, faulty, 1)
    assert mount.prober.ask(bad)
    helper = mount.prober._helpers[0]._helper
    assert helper is not None
    faulty.clear()
    helper._process.kill()
    mount.prober.wait(5.0)
    assert mount.prober.take(bad) is not None
    assert mount.prober.ask(bad), "by another one"
    mount.prober.wait(5.0)
    assert mount.prober.take(bad) is not None


def waited(prober: Prober) -> Prober:
    prober.wait(0.1)
    return prober


@pytest.fixture
def pinging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module, "PING_AFTER", 0.1)
    monkeypatch.setattr(prober_module, "PING_SECONDS", 0.5)


@pytest.mark.usefixtures("pinging")
def test_a_frozen_helper_of_probes_is_replaced(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    sync_id, prober = world.put(photo("a")), mount.prober
    assert prober.ask(sync_id)
    prober.wait(5.0)
    assert prober.take(sync_id) is not None
    helper = prober._helpers[0]._helper
    assert helper is not None
    os.kill(helper._process.pid, signal.SIGSTOP)
    assert prober.ask(sync_id)
    until(lambda: not waited(prober).is_busy, what="for the end of the helper")
    assert prober.take(sync_id) is not None
    assert prober.ask(sync_id)
    prober.wait(5.0)
    assert prober.take(sync_id) is not None
    until_reaped(mount)


@pytest.mark.usefixtures("pinging")
def test_a_helper_whose_probes_hang_is_kept(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    (bad,), prober = hang(world, faulty, 1), mount.prober
    assert prober.ask(bad)
    helper, pings = prober._helpers[0]._helper, []
    assert helper is not None
    send = helper.send
    helper.send = lambda *request: pings.append(request) or send(*request)  # type: ignore[func-returns-value,method-assign]
    until(lambda: waited(prober) and len(pings) > 8, what="for signs of life")
    assert (prober._helpers[0]._helper, prober.is_busy, prober.take(bad)) == (helper, True, None)
    faulty.clear()
    until_reaped(mount)


def test_without_descriptors_what_hangs_is_not_taken_for_readable(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    prober = mount.prober
    healthy = world.put(photo("healthy"))
    assert prober.ask(healthy)
    until(lambda: waited(prober).take(healthy) is not None)
    bad = sorted(hang(world, faulty, 6))
    with few_descriptors(prober, 4):
        assert all(prober.ask(sync_id) for sync_id in [*bad, healthy])
        until(lambda: faulty.met)
        for _ in range(10):
            prober.wait(0.1)
        assert [sync_id for sync_id in bad if prober.take(sync_id) is not None] == []
    until(lambda: waited(prober).take(healthy) is not None, what="for a descriptor")
    until(lambda: set(faulty.met) == {f"sync/{sync_id}.json" for sync_id in bad})
    faulty.clear()
    for sync_id in bad:
        until(lambda sync_id=sync_id: waited(prober).take(sync_id) is not None)  # type: ignore[misc]


@contextmanager
def few_descriptors(prober: Prober, more: int) -> Iterator[None]:
    """The helper may open only so many more."""
    assert prober._helpers[0]._helper is not None
    pid = prober._helpers[0]._helper._process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1 + more, usual[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


@pytest.mark.parametrize(("files", "probes"), [(8192, 256), (1028, 253), (256, 60), (64, 12), (16, 1)])
def test_few_descriptors_bound_the_probes(monkeypatch: pytest.MonkeyPatch, files: int, probes: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (files, 8192))
    assert prober_module.max_probes() == probes

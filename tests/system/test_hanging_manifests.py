"""Manifests whose read hangs in the kernel, where no signal reaches it, and a mount that is slow at each operation."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from ingestd.errors import MountSilent, MountUnavailable, Shortage, StillSilent
from ingestd.mount import helper_pool, probe_helper
from ingestd.mount import prober as prober_module
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import MAX_ABANDONED, Use
from ingestd.mount.helper_process import HelperProcess
from ingestd.pipeline import reads
from ingestd.pipeline.lanes import Lane
from ingestd.pipeline.scanner import Scanner
from support.faulty_fuse import FaultyFuse, Step
from support.hanging_manifests import hang
from support.reaped import until_reaped
from support.scanning import Clock, recorded
from support.wait import until
from support.world import World, photo


def test_many_hanging_manifests_cost_one_helper_each_and_delay_no_other(
    world: World, faulty: FaultyFuse, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 0.5)
    context = world.context(mount={"root": faulty.point, "deadline": 1.0})
    scanner = Scanner(context)
    pool = context.mount._pool
    bad = hang(world, faulty, 5)
    early = world.put(photo("early"))
    try:
        assert scanner.scan() == [early]
        assert (scanner.stuck, scanner.unrecorded) == (0, 5), "they may be slow only"
        for _ in range(2):
            clock.now += 30.0
            scanner.run_once()
        assert scanner.stuck == 5
        for _ in range(4):
            clock.now += 900.0
            scanner.run_once()
            assert pool.hung(Use.MANIFEST) <= reads.FAR_READERS, "each try took another helper"
        late = world.put(photo("late"))
        assert scanner.scan() == [late]
        assert pool.hung(Use.CHECK) == 0
    finally:
        faulty.clear()
    until_reaped(context.mount)
    clock.now += 60.0
    scanner.run_once()
    assert {sync_id for sync_id, _ in recorded(world)} == {early, late} | bad, "a minute after the mount answers"


@pytest.mark.parametrize("step", ["read", "open", "lookup"])
def test_a_bundle_does_not_wait_for_more_manifests_that_hang_than_helpers_may(
    world: World, faulty: FaultyFuse, step: Step
) -> None:
    context = world.context(mount={"root": faulty.point, "deadline": 1.0})
    scanner = Scanner(context)
    scanner.scan()
    bad = hang(world, faulty, MAX_ABANDONED[Use.MANIFEST] + 8, step)
    try:
        for _ in range(2):
            healthy = world.put(photo("healthy"))
            scanner.name([*sorted(bad), healthy])
            start = time.monotonic()
            record(scanner, world, {healthy})
            assert time.monotonic() - start < 5
            assert context.mount.hung_manifests <= reads.FAR_READERS
            until(lambda: scanner.run_once() and context.mount.prober.is_busy)
    finally:
        faulty.clear()
    record(scanner, world, bad)
    until_reaped(context.mount)


def test_a_bundle_does_not_wait_for_many_slow_manifests(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 1.0)
    context = world.context(mount={"root": faulty.point, "deadline": 20.0})
    scanner = Scanner(context)
    scanner.scan()
    slow = {world.put(photo("slow")) for _ in range(20)}
    for sync_id in slow:
        faulty.slow(f"sync/{sync_id}.json", 3.0)
    healthy = world.put(photo("healthy"))
    scanner.name([*sorted(slow), healthy])
    record(scanner, world, {healthy})
    before = {sync_id for sync_id, _ in recorded(world)} & slow
    assert len(before) <= reads.READERS[Lane.APART], "what is slow is read beside it, a few at a time"
    faulty.clear()
    record(scanner, world, slow)
    until_reaped(context.mount)


def record(scanner: Scanner, world: World, bundles: set[str], clock: Clock | None = None) -> None:
    """Scans until these bundles are recorded.

    A `clock` moves on by a minute each time: what was still being read when the fault ended is tried after a pause.
    """

    def are_recorded() -> bool:
        if clock is not None:
            clock.now += 60.0
        scanner.run_once()
        return bundles <= {sync_id for sync_id, _ in recorded(world)}

    until(are_recorded, seconds=30)


def test_slow_manifests_are_recorded_and_not_reported(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 0.3)
    context = world.context(mount={"root": faulty.point, "deadline": 20.0})
    scanner = Scanner(context)
    scanner.scan()
    slow = {world.put(photo("slow")) for _ in range(3)}
    for sync_id in slow:
        faulty.slow(f"sync/{sync_id}.json", 1.0)
    scanner.name(slow)

    def are_recorded() -> bool:
        scanner.run_once()
        return {sync_id for sync_id, _ in recorded(world)} == slow

    until(are_recorded)
    assert world.sql("SELECT 1 FROM ingest_event WHERE event_type = 'bundle_stuck'") == []
    until_reaped(context.mount)


def test_the_mount_is_used_for_all_else_while_too_many_manifests_hang(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(helper_pool.MAX_ABANDONED, Use.MANIFEST, 2)
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    identity = mount.check()
    bad = sorted(hang(world, faulty, 2))
    try:
        for sync_id in bad:
            with pytest.raises(MountUnavailable, match="the deadline passed"):
                mount.read_manifest(sync_id)
        with pytest.raises(StillSilent):
            mount.read_manifest(bad[0])
        with pytest.raises(MountUnavailable, match="2 reads hang in the mount"):
            mount.read_manifest(world.put(photo("good")))
        assert mount.check() == identity
        assert len(mount.list_sentinels().sync_ids) == 3
    finally:
        faulty.clear()
    until(lambda: is_readable(mount, bad[0]))
    until_reaped(mount)


def test_manifests_that_drip_delay_only_each_other(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 1.0)
    monkeypatch.setattr(reads, "SECONDS_ALIVE", 0.0)
    context = world.context(mount={"root": faulty.point, "deadline": 20.0})
    scanner = Scanner(context)
    scanner.scan()
    dripping = {world.put(photo("drip")) for _ in range(2 * reads.FAR_READERS + 1)}
    for sync_id in dripping:
        faulty.drip(f"sync/{sync_id}.json", 0.25)
    scanner.name(dripping)
    scanner.run_once()
    for _ in range(2):
        healthy, start = world.put(photo("healthy")), time.monotonic()
        scanner.name([healthy])
        until(lambda: [scanner.run_once()] and (healthy, "new") in recorded(world), seconds=30)  # noqa: B023
        assert time.monotonic() - start < 5
    assert scanner.stuck == 0
    faulty.clear()
    until(lambda: [scanner.run_once()] and dripping <= {sync_id for sync_id, _ in recorded(world)}, seconds=60)
    until_reaped(context.mount)


def is_readable(mount: Mount, sync_id: str) -> bool:
    try:
        return mount.read_manifest(sync_id).manifest is not None
    except MountUnavailable:
        return False


def test_what_hangs_in_a_mount_that_was_replaced_does_not_count(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for use in (Use.LISTING, Use.MANIFEST):
        monkeypatch.setitem(helper_pool.MAX_ABANDONED, use, 1)
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    (bad,) = hang(world, faulty, 1)
    faulty.hang("sync", "open")
    try:
        for _ in range(2):
            with pytest.raises(MountSilent):
                mount.list_sentinels()
        again = FaultyFuse(world.root, faulty.point)
        again.mount()
        try:
            mount.check()
            assert mount.list_sentinels().sync_ids == {bad}
            assert is_readable(mount, bad)
            monkeypatch.setattr(helper_pool, "MAX_IN_ALL_MOUNTS", 1)
            with pytest.raises(MountUnavailable, match=r"\d reads? hang in former mounts"):
                mount.list_sentinels()
        finally:
            again.unmount()
    finally:
        faulty.clear()
    until_reaped(mount)


@pytest.fixture
def pinging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_helper, "PING_AFTER", 0.1)
    monkeypatch.setattr(probe_helper, "PING_SECONDS", 0.5)


@pytest.mark.usefixtures("pinging")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_helper_of_probes_sends_no_reader_to_what_hangs(
    world: World, faulty: FaultyFuse, number: signal.Signals
) -> None:
    context = world.context(mount={"root": faulty.point, "deadline": 5.0})
    scanner, prober = Scanner(context), context.mount.prober
    scanner.scan()
    bad = hang(world, faulty, MAX_ABANDONED[Use.MANIFEST] + 8)
    scanner.name(bad)
    until(lambda: scanner.run_once() and len(prober._probes) == len(bad))
    helper = prober._helpers[0]._helper
    assert helper is not None
    os.kill(helper._process.pid, number)
    for _ in range(2):
        healthy = world.put(photo("healthy"))
        scanner.name([healthy])
        record(scanner, world, {healthy})
        assert context.mount.hung_manifests <= reads.FAR_READERS
        until(lambda: scanner.run_once() and prober._helpers[0]._helper not in (None, helper))
    faulty.clear()
    record(scanner, world, bad)
    until_reaped(context.mount)


def test_manifests_that_find_no_place_among_those_that_hang_are_not_read(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(prober_module, "MAX_PROBES", 3)
    context = world.context(mount={"root": faulty.point, "deadline": 2.0})
    scanner, prober = Scanner(context), context.mount.prober
    scanner.scan()
    bad = hang(world, faulty, 20)
    scanner.name(bad)
    until(lambda: scanner.run_once() and len(prober._probes) == len(bad))
    healthy = world.put(photo("healthy"))
    scanner.name([healthy])
    scanner.scan()
    assert context.mount.hung_manifests <= reads.FAR_READERS
    assert scanner.unrecorded_names == bad | {healthy}
    clock.now += 900.0
    until(lambda: scanner.run_once() and scanner.stuck == len(bad) + 1)
    (problem,) = world.sql("SELECT payload FROM ingest_event WHERE payload LIKE %s", f"%{healthy}%")[0]
    assert "so many manifests hang in the mount" in problem
    faulty.clear()
    record(scanner, world, bad | {healthy}, clock)
    until_reaped(context.mount)


@pytest.mark.usefixtures("pinging")
def test_what_cannot_be_probed_for_lack_of_something_is_reported_as_that(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(mount={"root": faulty.point, "deadline": 3.0})
    scanner = Scanner(context)
    scanner.scan()
    bad = hang(world, faulty, 2)
    scanner.name(bad)
    until(lambda: scanner.run_once() and len(context.mount.prober._helpers[0]) == len(bad))
    helper = context.mount.prober._helpers[0]._helper
    assert helper is not None
    healthy = world.put(photo("healthy"))
    with monkeypatch.context() as patched:
        patched.setattr(probe_helper, "HelperProcess", lacking)
        helper._process.kill()
        scanner.name([healthy])
        with pytest.raises(Shortage, match="can't start"):
            until(lambda: scanner.run_once() < 0)
    assert scanner.stuck == 0
    until(lambda: [scanner.run_once()] and (healthy, "new") in recorded(world))
    faulty.clear()
    record(scanner, world, bad)
    until_reaped(context.mount)


def lacking(_is_cancelled: Callable[[], bool]) -> HelperProcess:
    raise Shortage("can't start new process")

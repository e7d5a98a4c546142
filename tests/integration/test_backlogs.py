"""A long backlog of new bundles does not keep the scanner from all else: retries, listings and checks of the mount."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingestd.errors import MountUnavailable
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.lanes import Lane
from ingestd.pipeline.reads import MAX_QUEUED, MAX_TOGETHER, READERS
from ingestd.pipeline.scanner import ROUND_SECONDS, Scanner
from support.scanning import Clock, recorded, write_manifest, write_sentinel
from support.wait import until
from support.world import World, new_sync_id, photo

SOON = int(2 * ROUND_SECONDS) + MAX_QUEUED + MAX_TOGETHER * READERS[Lane.SHORT]
"""bundles recorded meanwhile, one each second: those of two rounds, and what was read or being read before"""
BACKLOG = 3 * SOON // 2


def is_all_read() -> bool:
    """Whether all threads that read manifests have ended, as they do when nothing is queued."""
    return not any(thread.name == "manifest-reader" for thread in threading.enumerate())


class Backlog:
    """Many new bundles, each of which takes a second to record. `then` is called after some of them."""

    def __init__(self, world: World, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.scanner = world, Scanner(context)
        self.then: Callable[[], object] = lambda: None
        self._real, self._clock, self._count = delivery.columns_of, clock, 0
        monkeypatch.setattr(delivery, "columns_of", self._columns_of)

    def deliver(self) -> None:
        self.scanner.name(sorted(self.world.put(photo("a")) for _ in range(BACKLOG)))

    def _columns_of(self, delivered: Delivery) -> dict[str, Any]:
        until(is_all_read, what="for the readers: within a second they read all that is queued")
        self._clock.now += 1.0
        self._count += 1
        if self._count == 3:
            self.then()
        return self._real(delivered)

    def until_recorded(self, count: int, read: Callable[[], object]) -> None:
        while len(recorded(self.world)) < count:
            read()

    def place_of(self, sync_id: str) -> int:
        """How many were recorded before this one."""
        return [name for name, _ in recorded(self.world)].index(sync_id)


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


@pytest.fixture
def backlog(world: World, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Backlog:
    made = Backlog(world, context, clock, monkeypatch)
    made.scanner.scan()
    return made


@pytest.mark.parametrize("is_requested", [False, True])
def test_a_late_manifest_does_not_wait_for_a_backlog(world: World, backlog: Backlog, *, is_requested: bool) -> None:
    late = new_sync_id()
    write_sentinel(world, late)
    backlog.scanner.scan()
    backlog.deliver()
    backlog.then = lambda: write_manifest(world, late, photo("late"))
    if is_requested:
        backlog.scanner.scan()
    backlog.until_recorded(BACKLOG + 1, backlog.scanner.run_once)
    assert backlog.place_of(late) <= SOON


def test_a_listing_does_not_wait_for_a_backlog(world: World, backlog: Backlog) -> None:
    backlog.deliver()
    unnamed: list[str] = []

    def demand() -> None:
        unnamed.append(world.put(photo("unnamed")))
        backlog.scanner.demand_full()

    backlog.then = demand
    backlog.until_recorded(BACKLOG + 1, backlog.scanner.run_once)
    assert backlog.place_of(unnamed[0]) <= SOON


@pytest.mark.parametrize("is_requested", [False, True])
def test_a_mount_that_goes_is_noticed_within_a_backlog(
    world: World, context: Context, backlog: Backlog, monkeypatch: pytest.MonkeyPatch, *, is_requested: bool
) -> None:
    backlog.deliver()

    def lose() -> None:
        def check() -> None:
            raise MountUnavailable("it was replaced")

        monkeypatch.setattr(context.mount, "check", check)
        assert context.mount.identity is not None
        context.mount.identity = replace(context.mount.identity, unique_id=1)  # not that of what is read

    backlog.then = lose
    read = backlog.scanner.scan if is_requested else backlog.scanner.run_once
    with pytest.raises(MountUnavailable, match="replaced"):
        backlog.until_recorded(BACKLOG, read)
    assert len(recorded(world)) <= SOON

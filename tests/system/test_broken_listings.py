"""Listings of the hand-over folder that never end, hang or fail midway: what was listed is recorded, work goes on."""

import errno
import uuid
from collections.abc import Callable

import pytest
from structlog.testing import CapturingLogger

from ingestd import doctor
from ingestd.errors import ListingEndless, MountSilent, MountUnavailable, StillSilent
from ingestd.mount import listing_receiver
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from ingestd.mount.records import Listing
from ingestd.pipeline import broken_listings, names
from ingestd.pipeline import scanner as scanner_module
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from support.faulty_fuse import FaultyFuse
from support.reaped import until_reaped
from support.scanning import Clock, recorded
from support.world import World, photo, sample

NAMES: dict[str, Callable[[int], str]] = {
    "foreign": lambda number: f"{number}.tmp",
    "repeated": lambda number: f"{number % 3}.json",
    "sentinels": lambda number: f"{uuid.UUID(int=number)}.ready",
    "odd sentinels": lambda number: f"{number}.ready",
}


@pytest.mark.parametrize("kind", NAMES)
def test_bundles_are_recorded_from_a_listing_without_end(
    world: World, faulty: FaultyFuse, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(broken_listings, "log", logger)
    monkeypatch.setattr(listing_receiver, "MAX_NAMES", 20_000)
    monkeypatch.setattr(listing_receiver, "MAX_SENTINELS", 100)
    context = world.context(mount={"root": faulty.point})
    scanner = Scanner(context)
    sync_id = world.put(photo("a"))
    faulty.endless["sync"] = NAMES[kind]
    assert scanner.run_once() <= 60
    assert recorded(world) == [(sync_id, "new")]
    assert scanner.last_success is None
    assert sample(context, "scans_total", result="error") == 1
    assert [call.args for call in logger.calls if call.method_name == "warning"].count(("listing_endless",)) == 1
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert world.run_next(context) == "done"
    faulty.clear()
    clock.now += 60
    scanner.run_once()
    assert scanner.last_success is not None
    assert recorded(world) == [(sync_id, "imported")]


def test_a_scan_on_request_reports_an_endless_listing(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_receiver, "MAX_SECONDS", 0.2)
    context = world.context(mount={"root": faulty.point})
    sync_id = world.put(photo("a"))
    faulty.endless["sync"] = NAMES["foreign"]
    with pytest.raises(ListingEndless, match=r"sync does not end \(\d+ names, 1 different sentinels, in 0 s\); mount"):
        Scanner(context).scan()
    assert recorded(world) == [(sync_id, "new")]
    assert any("does not end" in finding.detail for finding in doctor.examine(context) if not finding.ok)


def test_endless_listings_with_other_names_each_time_do_not_add_up(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_receiver, "MAX_SENTINELS", 1000)
    monkeypatch.setattr(names, "MAX_WAITING", 1500)
    monkeypatch.setattr(scanner_module, "ROUND_SECONDS", 0.0)
    scanner = Scanner(world.context(mount={"root": faulty.point}))
    faulty.endless["sync"] = lambda _number: f"{uuid.uuid4()}.ready"
    for _ in range(3):
        scanner.demand_full()
        scanner.run_once()
    assert len(scanner._names) == 1500


@pytest.mark.parametrize("error", [0, errno.EIO])
def test_bundles_are_recorded_from_a_listing_that_breaks_off(world: World, faulty: FaultyFuse, error: int) -> None:
    context = world.context(mount={"root": faulty.point, "deadline": 1.0})
    scanner = Scanner(context)
    sync_id = world.put(photo("a"))
    faulty.break_listing("sync", error)
    try:
        with pytest.raises(MountUnavailable):
            scanner.run_once()
        assert recorded(world) == [(sync_id, "new")]
        named = world.put(photo("b"))
        scanner.name([named])
        with pytest.raises(MountUnavailable):
            scanner.run_once()
        assert recorded(world) == [(sync_id, "new"), (named, "new")]
    finally:
        faulty.clear()
    until_reaped(context.mount)
    scanner.run_once()
    assert scanner.last_success is not None


def test_a_listing_that_hangs_takes_one_helper_and_no_check(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    world.put(photo("a"))
    faulty.break_listing("sync")
    try:
        assert len(listed_until(mount, MountSilent).sync_ids) == 1
        for _ in range(20):
            assert not listed_until(mount, StillSilent).sync_ids
        assert mount._pool.hung(Use.LISTING) == 1
        mount.check()
    finally:
        faulty.clear()
    until_reaped(mount)
    assert len(mount.list_sentinels().sync_ids) == 1


def listed_until(mount: Mount, error: type[MountUnavailable]) -> Listing:
    listing = Listing()
    with pytest.raises(error):
        mount.list_sentinels(listing)
    return listing

"""Incomplete manifests: the scanner waits for them with growing pauses, then gives up with a reason."""

import pytest

from ingestd.pipeline.scanner import Scanner
from support.scanning import SETTLE, Clock, Reads, kinds, last_error, recorded, write_manifest, write_sentinel
from support.world import World, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


# waiting for a manifest


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_half_written_manifest_is_waited_for_with_growing_pauses(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    sync_id = new_sync_id()
    write_manifest(world, sync_id, photo("a"), part=part)
    write_sentinel(world, sync_id)
    pauses = []
    for _ in range(8):
        pauses.append(scanner.run_once())
        assert reads.take() == [sync_id]
        assert recorded(world) == []
        assert scanner.unrecorded == 1
        clock.now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] > 10
    write_manifest(world, sync_id, photo("a"))
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]
    assert scanner.unrecorded == 0
    assert kinds(world, sync_id) == ["scan"], "the waiting left no trace"
    assert reads.take() == [sync_id]


def test_an_incomplete_manifest_is_not_read_before_its_retry_is_due(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    write_sentinel(world, new_sync_id())
    pause = scanner.run_once()
    reads.take()
    clock.now += pause * 0.9
    assert scanner.run_once() == pytest.approx(pause * 0.1)
    scanner.demand_full()
    scanner.run_once()
    assert reads.take() == [], "a full scan leaves its pause alone"


def settle(scanner: Scanner, clock: Clock, world: World) -> float:
    """Runs the scanner by its own clock until something is recorded; returns how long that took."""
    began = clock.now
    while not recorded(world):
        assert clock.now - began <= 2 * SETTLE
        clock.now += scanner.run_once()
    return clock.now - began


def test_a_missing_manifest_becomes_invalid_only_after_settling_and_valid_when_it_comes(
    world: World, clock: Clock
) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    assert settle(scanner, clock, world) >= SETTLE
    assert recorded(world) == [(sync_id, "invalid")]
    assert "the manifest cannot be read" in last_error(world, sync_id)
    assert f"sync/{sync_id}.json" in last_error(world, sync_id)
    assert "No such file" in last_error(world, sync_id)
    assert "waited 300 s" in last_error(world, sync_id)
    assert kinds(world, sync_id) == ["scan", "batch_invalid"]
    assert world.events(sync_id)[1][1]["error"] == last_error(world, sync_id)
    assert scanner.unrecorded == 0
    clock.now += SETTLE
    scanner.run_once()
    assert kinds(world, sync_id) == ["scan", "batch_invalid"], "it is said once"
    write_manifest(world, sync_id, photo("a"))
    scanner.scan()
    assert recorded(world) == [(sync_id, "new")]
    assert kinds(world, sync_id)[2:] == ["manifest_changed"]
    assert world.one("SELECT last_error FROM ingest_batch") is None


def test_a_truncated_manifest_says_that_it_is_truncated(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = new_sync_id()
    write_manifest(world, sync_id, photo("a"), part=0.7)
    write_sentinel(world, sync_id)
    assert settle(scanner, clock, world) >= SETTLE
    assert "JSON" in last_error(world, sync_id)
    write_manifest(world, sync_id, photo("a"))
    scanner.name({sync_id})
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_sentinel_that_goes_while_waited_for_is_forgotten(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sentinel = write_sentinel(world, new_sync_id())
    scanner.run_once()
    assert scanner.unrecorded == 1
    sentinel.unlink()
    scanner.demand_full()
    scanner.run_once()
    assert scanner.unrecorded == 0
    clock.now += 2 * SETTLE
    scanner.run_once()
    assert recorded(world) == []


def test_a_known_batch_keeps_its_status_while_its_manifest_is_rewritten(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = world.put(photo("a"))
    scanner.run_once()
    write_manifest(world, sync_id, photo("b"), part=0.5)
    scanner.name({sync_id})
    began = clock.now
    while clock.now - began < 2 * SETTLE:
        clock.now += max(0.1, scanner.run_once())
        assert recorded(world) == [(sync_id, "new")]
    assert kinds(world, sync_id) == ["scan"]
    write_manifest(world, sync_id, photo("b"))
    scanner.name({sync_id})
    scanner.run_once()
    assert kinds(world, sync_id) == ["scan", "manifest_changed"]

"""Manifests that come later than their sentinels: a listing that names them has them read at once."""

import pytest

from ingestd.pipeline import settling as settling_module
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.settling import Settling
from support.listings import Polling
from support.scanning import Clock, Reads, recorded, write_manifest, write_sentinel
from support.world import World, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def waited_for(world: World, settling: Settling, count: int) -> list[str]:
    """So many sentinels without a manifest, which are waited for."""
    found = [new_sync_id() for _ in range(count)]
    for sync_id in found:
        write_sentinel(world, sync_id)
        settling.try_again(sync_id)
    return found


def test_a_manifest_that_comes_late_is_emitted_once(world: World) -> None:
    settling = Settling(300.0)
    late, other = waited_for(world, settling, 2)
    polling = Polling(world.context().mount, settling)
    write_manifest(world, new_sync_id(), photo("without a sentinel"))
    assert polling.emitted() == []
    write_manifest(world, late, photo("a"))
    assert polling.emitted() == [f"{late}.json"]
    assert polling.emitted() == [], "it is half-written perhaps, and tried again with pauses"
    write_manifest(world, other, photo("b"), part=0.5)
    assert polling.emitted() == [f"{other}.json"]


def test_a_manifest_that_goes_and_comes_is_emitted_again(world: World) -> None:
    settling = Settling(300.0)
    (late,) = waited_for(world, settling, 1)
    polling = Polling(world.context().mount, settling)
    write_manifest(world, late, photo("a"))
    assert polling.emitted() == [f"{late}.json"]
    (world.root / f"sync/{late}.json").unlink()
    assert polling.emitted() == []
    write_manifest(world, late, photo("a"))
    assert polling.emitted() == [f"{late}.json"]


def test_a_manifest_that_is_not_waited_for_any_more_is_not_emitted(world: World) -> None:
    settling = Settling(300.0)
    (late,) = waited_for(world, settling, 1)
    polling = Polling(world.context().mount, settling)
    settling.end(late)
    write_manifest(world, late, photo("a"))
    assert polling.emitted() == []


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_of_many_that_are_waited_for_each_has_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(settling_module, "MAX_AWAITED", at_once)
    settling = Settling(300.0)
    late = waited_for(world, settling, 7)
    polling = Polling(world.context().mount, settling)
    for sync_id in late:
        write_manifest(world, sync_id, photo(sync_id))
    turns = [polling.emitted() for _ in range(8 // at_once + 1)]
    assert all(len(turn) <= at_once for turn in turns)
    assert sorted(name for turn in turns for name in turn) == sorted(f"{sync_id}.json" for sync_id in late)


def settled_long(scanner: Scanner, clock: Clock) -> None:
    """Runs the scanner until pauses are long."""
    while (pause := scanner.run_once()) < 10:
        clock.now += pause


def test_a_full_scan_reads_what_came_since_before_its_pause_is_over(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    late, never = new_sync_id(), new_sync_id()
    write_sentinel(world, late)
    write_sentinel(world, never)
    settled_long(scanner, clock)
    reads.take()
    write_manifest(world, late, photo("a"))
    scanner.demand_full()
    scanner.run_once()
    assert set(reads.take()) == {late}, "and not the other one"
    assert recorded(world) == [(late, "new")]


def test_a_manifest_that_no_listing_names_is_read_after_its_pause(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store may list what came with a delay."""
    context = world.context()
    scanner = Scanner(context)
    late = new_sync_id()
    write_sentinel(world, late)
    settled_long(scanner, clock)
    real = context.mount.list_sentinels
    monkeypatch.setattr(
        context.mount, "list_sentinels", lambda *some, **options: real(*some, **{**options, "awaited": ()})
    )
    write_manifest(world, late, photo("a"))
    scanner.demand_full()
    pause = scanner.run_once()
    assert recorded(world) == []
    clock.now += pause
    scanner.run_once()
    assert recorded(world) == [(late, "new")]


def test_a_half_written_manifest_that_appeared_comes_before_those_that_are_missing(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(world.context())
    late = new_sync_id()
    write_sentinel(world, late)
    for _ in range(5):
        write_sentinel(world, new_sync_id())
    settled_long(scanner, clock)
    write_manifest(world, late, photo("a"), part=0.5)
    scanner.demand_full()
    assert scanner.run_once() < 1, "its pauses begin again"
    clock.now += settling_module.MAX_PAUSE
    assert scanner.settling.due(1) == [late]

"""What the scanner keeps in mind of recorded bundles: as many as the mount has, whatever the database has."""

import pytest

from ingestd.pipeline import recorded as recorded_module
from ingestd.pipeline.scanner import Scanner
from support.scanning import Reads, kinds, recorded, write_manifest, write_sentinel
from support.statements import questions
from support.world import World, new_sync_id, photo, sample


def put_many(world: World, count: int) -> list[str]:
    return sorted(world.put(photo(str(number))) for number in range(count))


def take_away(world: World, *sync_ids: str) -> None:
    for sync_id in sync_ids:
        (world.root / f"sync/{sync_id}.ready").unlink()


def put_back(world: World, *sync_ids: str) -> None:
    for sync_id in sync_ids:
        write_sentinel(world, sync_id)


def known(scanner: Scanner) -> list[str]:
    return sorted(scanner._recorder.known)


def test_what_was_taken_away_is_forgotten(world: World) -> None:
    scanner = Scanner(world.context())
    gone, kept = put_many(world, 5), put_many(world, 3)
    scanner.scan()
    assert known(scanner) == sorted(gone + kept)
    take_away(world, *gone)
    scanner.scan()
    assert known(scanner) == kept


def test_history_is_not_loaded(world: World) -> None:
    gone, kept = put_many(world, 5), put_many(world, 3)
    world.scan(world.context())
    take_away(world, *gone)
    scanner = Scanner(world.context())
    scanner.scan()
    assert known(scanner) == kept


def test_a_new_process_asks_for_many_bundles_at_once_and_reads_none_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_module, "MAX_ASKED", 7)
    sync_ids = put_many(world, 20)
    world.scan(world.context())
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    scanner.run_once()
    assert reads.names == []
    assert known(scanner) == sync_ids
    assert set(scanner.rotation.present) == set(sync_ids)


def test_many_new_bundles_are_asked_about_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while they wait to be read for many listings."""
    put_many(world, 20)
    scanner = Scanner(world.context())
    monkeypatch.setattr(scanner, "_read_all", lambda patience: None)
    scanner.run_once()
    counts = []
    for _ in range(2):
        before = questions(world)
        scanner.demand_full()
        scanner.run_once()
        counts.append(questions(world) - before)
        put_many(world, 1)
    assert counts[1] > counts[0], "only the one that was added"
    assert len(scanner._names) == 21


def test_a_listing_that_lacks_many_for_once_does_not_have_them_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    sync_ids = put_many(world, 10)
    assert scanner.scan() == sync_ids
    take_away(world, *sync_ids)
    scanner.scan()
    put_back(world, *sync_ids)
    reads.take()
    scanner.demand_full()
    scanner.run_once()
    assert reads.names == []
    assert known(scanner) == sync_ids
    assert scanner.unrecorded == 0


def test_what_another_host_recorded_meanwhile_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    scanner.run_once()
    sync_ids = put_many(world, 3)
    assert Scanner(world.context()).scan() == sync_ids
    scanner.demand_full()
    scanner.run_once()
    assert reads.names == []
    assert set(scanner.rotation.present) == set(sync_ids)


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_bundle_that_comes_back_does_not_count_as_discovered(world: World, is_changed: bool) -> None:
    context = world.context()
    scanner, sync_id = Scanner(context), new_sync_id()
    world.put(photo("a"), sync_id=sync_id)
    scanner.scan()
    take_away(world, sync_id)
    scanner.scan()
    if is_changed:
        write_manifest(world, sync_id, photo("b"))
    put_back(world, sync_id)
    scanner.name({sync_id}, "inotify")
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]
    assert kinds(world, sync_id).count("manifest_changed") == is_changed
    assert scanner.unrecorded == 0
    assert sample(context, "batches_discovered_total", source="scan") == 1
    assert sample(context, "batches_discovered_total", source="inotify") == 0

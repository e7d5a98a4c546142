"""Many bundles that cannot be read yet: new ones are not delayed by them, and retries are few at a time."""

import threading

import pytest

from ingestd.pipeline.scanner import MAX_RETRIES, RETRY_GAP, Scanner
from support.scanning import Clock, Reads, recorded, write_sentinel
from support.wait import until
from support.world import World, new_sync_id, photo


def test_a_named_bundle_is_read_before_many_without_a_manifest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = [new_sync_id() for _ in range(400)]
    for sync_id in lone:
        write_sentinel(world, sync_id)
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    good = world.put(photo("good"), ready=False)

    def arrive() -> None:
        until(lambda: len(reads.names) >= 20)
        write_sentinel(world, good)
        scanner.name({good})

    thread = threading.Thread(target=arrive)
    thread.start()
    scanner.run_once()
    thread.join()
    assert reads.names.index(good) < len(lone) - 1, "it is read before those that were listed earlier"
    assert recorded(world) == [(good, "new")]


def test_a_round_reads_a_limited_number_again(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2 * MAX_RETRIES):
        write_sentinel(world, new_sync_id())
    context = world.context()
    scanner, reads = Scanner(context), Reads(monkeypatch, context)
    scanner.run_once()
    everything = set(reads.take())
    clock.now += 1.0
    pause = scanner.run_once()
    again = reads.take()
    assert len(again) == MAX_RETRIES
    assert 0 < pause <= RETRY_GAP
    clock.now += pause
    scanner.run_once()
    assert everything - set(again) <= set(reads.take()), "those that wait longest come first"

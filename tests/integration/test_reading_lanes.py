"""New bundles are read beside those that are read again, and do not wait for them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.errors import MountSilent
from ingestd.pipeline.context import Context
from ingestd.pipeline.lanes import Lane
from ingestd.pipeline.reads import FIRST_SILENCE, MAX_QUEUED, READERS
from ingestd.pipeline.scanner import MAX_RETRIES, Scanner
from support.scanning import Clock, recorded, write_sentinel
from support.wait import until
from support.world import World, new_sync_id, photo


class SlowRereads:
    """Reads of named manifests that wait until they are released, as on a slow mount."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
        self.names: set[str] = set()
        self.begun: list[str] = []
        self.released = threading.Event()
        self._real = context.mount.read_manifest
        monkeypatch.setattr(context.mount, "read_manifest", self._read)

    def _read(self, sync_id: str, *more: Any, **options: Any) -> Any:
        if sync_id in self.names:
            self.begun.append(sync_id)
            assert self.released.wait(30)
        return self._real(sync_id, *more, **options)


def put_incomplete(world: World, scanner: Scanner) -> set[str]:
    names = {new_sync_id() for _ in range(MAX_RETRIES)}
    for sync_id in names:
        write_sentinel(world, sync_id)
    scanner.scan()
    return names


def put_changed(world: World, scanner: Scanner) -> set[str]:
    names = {world.put(photo("known")) for _ in range(20)}
    scanner.scan()
    for sync_id in names:
        world.put(photo("changed"), sync_id=sync_id)
    return names


def put_doubtful(world: World, scanner: Scanner) -> set[str]:
    names = {world.put(photo("known")) for _ in range(20)}
    scanner.scan()
    world.sql("UPDATE ingest_batch SET status = 'invalid', invalid_basis = 'setting'")
    return names


@pytest.mark.parametrize("put", [put_incomplete, put_changed, put_doubtful])
def test_a_new_bundle_does_not_wait_for_those_that_are_read_again(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, put: Any
) -> None:
    context = world.context()
    scanner = Scanner(context)
    slow = SlowRereads(monkeypatch, context)
    slow.names = put(world, scanner)
    clock.now += 100.0
    scan = threading.Thread(target=scanner.scan)
    scan.start()
    try:
        until(lambda: slow.begun)
        new = world.put(photo("new"))
        scanner.name({new})
        until(lambda: (new, "new") in recorded(world), seconds=5)
    finally:
        slow.released.set()
        scan.join()


def noted_probes(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which manifests are probed from now on."""
    probed: list[str] = []
    ask = context.mount.prober.ask

    def noting(sync_id: str) -> None:
        probed.append(sync_id)
        ask(sync_id)

    monkeypatch.setattr(context.mount.prober, "ask", noting)
    return probed


def test_a_silent_manifest_is_probed_and_then_read_with_all_of_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(mount={"deadline": 20.0})
    scanner, probed = Scanner(context), noted_probes(context, monkeypatch)
    given: list[float] = []
    real = context.mount.read_manifest

    def silent_at_first(sync_id: str, *more: Any, **options: Any) -> Any:
        given.append(options["deadline"])
        if len(given) == 1:
            raise MountSilent("it does not answer")
        return real(sync_id, *more, **options)

    monkeypatch.setattr(context.mount, "read_manifest", silent_at_first)
    sync_id = world.put(photo("a"))
    assert scanner.scan() == [sync_id]
    assert given[:2] == [FIRST_SILENCE, 20.0]
    other = world.put(photo("b"))
    assert scanner.scan() == [other]
    assert {sync_id, other} <= set(probed), "another one may be silent, too"


def test_after_one_took_long_manifests_are_read_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    asked, real = list[int](), context.mount.request_manifests

    def noting(wanted: Any, on_slow: Callable[[], None]) -> Any:
        asked.append(len(wanted))
        on_slow()
        return real(wanted, on_slow)

    monkeypatch.setattr(context.mount, "request_manifests", noting)
    sync_ids = {world.put(photo(str(number))) for number in range(4 * MAX_QUEUED)}
    assert set(Scanner(context).scan()) == sync_ids
    assert 1 <= len(asked) <= READERS[Lane.SHORT], "only those that were about to be read together then"

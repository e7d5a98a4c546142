"""Long manifests are read one at a time, and short ones do not wait for them."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ingestd.errors import ManifestIsLong, MountSilent
from ingestd.format.fields import Limits
from ingestd.mount.manifests import LONG, send_manifest
from ingestd.mount.wire import ManifestIsLong as ManifestIsLongReply
from ingestd.mount.wire import ReadManifest
from ingestd.pipeline import delivery, reads
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.lanes import Lane
from ingestd.pipeline.scanner import Scanner
from support.scanning import recorded, write_manifest, write_sentinel
from support.wait import until
from support.world import World, manifest_of, new_sync_id, photo


class LongReads:
    """Reads of whole manifests, which do not begin before they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
        self.released = threading.Event()
        self.running = self.most_running = 0
        self.error: Exception | None = None
        self._real = context.mount.read_manifest
        self._lock = threading.Lock()
        monkeypatch.setattr(context.mount, "read_manifest", self._read)

    def _read(self, *arguments: Any, only_short: bool = False, **options: Any) -> Any:
        if only_short:
            return self._real(*arguments, only_short=True, **options)
        with self._counted():
            assert self.released.wait(30)
            if self.error is not None:
                raise self.error
            return self._real(*arguments, **options)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        yield
        with self._lock:
            self.running -= 1


def put_of_size(world: World, size: int, start: str = "00000000") -> str:
    """A valid bundle whose manifest has exactly this size."""
    sync_id = f"{start}{new_sync_id()[8:]}"
    data = json.dumps(manifest_of(sync_id, [photo(sync_id, files=0)])).encode()
    world.file(f"sync/{sync_id}.json", data.ljust(size))
    write_sentinel(world, sync_id)
    return sync_id


@pytest.fixture
def scanning(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Scanner, LongReads]:
    monkeypatch.setattr("ingestd.pipeline.scanner.PATIENCE", 0.3)
    context = world.context()
    return Scanner(context), LongReads(monkeypatch, context)


def test_short_manifests_do_not_wait_for_long_ones(world: World, scanning: tuple[Scanner, LongReads]) -> None:
    scanner, long_reads = scanning
    long = [put_of_size(world, LONG + 1) for _ in range(9)]
    short = [put_of_size(world, LONG, "ffffffff"), world.put(photo("b"))]
    for _ in range(3):
        scanner.run_once()
    assert sorted(sync_id for sync_id, _ in recorded(world)) == sorted(short)
    assert long_reads.most_running <= reads.READERS[Lane.LONG]
    late = world.put(photo("late"))
    scanner.name([late])
    scanner.run_once()
    assert (late, "new") in recorded(world)
    long_reads.released.set()
    scanner.scan()
    assert {sync_id for sync_id, _ in recorded(world)} == {*long, *short, late}
    assert long_reads.most_running <= reads.READERS[Lane.LONG]


def test_a_long_manifest_waits_for_none_that_takes_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 0.2)
    monkeypatch.setattr(reads, "SECONDS_ALIVE", 0.2)
    context = world.context()
    scanner, real = Scanner(context), context.mount.read_manifest
    hostile = {put_of_size(world, 3 * LONG + number) for number in range(5)}
    released = threading.Event()

    def read(sync_id: str, known: Any, on_alive: Any, *, only_short: bool, **options: Any) -> Any:
        """As of a manifest whose check takes hours, and shows signs of life."""
        while sync_id in hostile and not only_short and not released.wait(0.01):
            on_alive()
        return real(sync_id, known, on_alive, only_short=only_short, **options)

    monkeypatch.setattr(context.mount, "read_manifest", read)
    try:
        scanner.name(hostile)
        scanner.run_once()
        healthy, start = put_of_size(world, LONG + 1, "ffffffff"), time.monotonic()
        scanner.name([healthy])
        until(lambda: [scanner.run_once()] and recorded(world) == [(healthy, "new")])
        assert time.monotonic() - start < 5
    finally:
        released.set()
    scanner.scan()
    assert {sync_id for sync_id, _ in recorded(world)} == {*hostile, healthy}


def test_the_shortest_of_the_long_ones_comes_first_and_the_oldest_in_between(
    world: World, scanning: tuple[Scanner, LongReads]
) -> None:
    """The first to be read is read before the others come, so that the fourth is the oldest of them."""
    scanner, long_reads = scanning
    first = put_of_size(world, LONG + 1)
    until(lambda: [scanner.run_once()] and long_reads.running == 1)
    sizes = {put_of_size(world, LONG * mib): mib for mib in (9, 8, 7, 6, 5, 4, 3)}
    queue = scanner._reads._queues[Lane.LONG]
    scanner.name(sizes)
    until(lambda: [scanner.run_once()] and len(queue) == len(sizes))
    oldest = sizes[queue[0].sync_id]
    long_reads.released.set()
    scanner.scan()
    order = [sizes.get(sync_id) for sync_id, _ in recorded(world)]
    assert recorded(world)[0][0] == first
    assert order[1:4] == [3, 4, oldest]


def test_a_short_manifest_that_grows_while_it_is_read_is_a_long_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id = put_of_size(world, 3 * LONG)
    replies: list[Any] = []
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((*real(fd)[:6], 5, *real(fd)[7:])))
    request = ReadManifest(str(world.root), sync_id, 2**30, Limits(), only_short=True)
    send_manifest(request, replies.append, lambda: None)
    assert replies == [ManifestIsLongReply(LONG + 1)]


def test_reading_does_not_get_ahead_of_recording(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    scanner = Scanner(context)
    ahead: list[int] = []
    real = delivery.columns_of

    def columns_of(delivered: Delivery) -> dict[str, Any]:
        until(lambda: not scanner._reads._queues[Lane.SHORT])
        ahead.append(len(scanner._reads.pending))
        return real(delivered)

    monkeypatch.setattr(delivery, "columns_of", columns_of)
    count = 4 * reads.MAX_QUEUED
    bundles = [world.put(photo(str(number), files=0)) for number in range(count)]
    assert scanner.scan() == sorted(bundles)
    assert max(ahead) <= reads.MAX_QUEUED + reads.MAX_TOGETHER * reads.READERS[Lane.SHORT] < count


def test_a_long_manifest_that_is_silent_is_read_apart(world: World, scanning: tuple[Scanner, LongReads]) -> None:
    scanner, long_reads = scanning
    long_reads.error = MountSilent("no answer")
    long_reads.released.set()
    sync_id = put_of_size(world, LONG + 1)
    until(lambda: [scanner.run_once()] and scanner.stuck == 1)
    long_reads.error = None
    scanner.name([sync_id])
    until(lambda: [scanner.run_once()] and (sync_id, "new") in recorded(world))
    assert scanner.stuck == 0


def test_a_long_manifest_that_grows_and_shrinks_is_recorded_as_it_is(world: World) -> None:
    scanner = Scanner(world.context())
    sync_id = put_of_size(world, LONG + 1)
    assert scanner.scan() == [sync_id]
    assert scanner.scan() == []
    write_manifest(world, sync_id, photo("short"))
    assert scanner.scan() == [sync_id]
    world.file(f"sync/{sync_id}.json", b"{" * 2 * LONG)
    assert scanner.scan() == []
    assert recorded(world) == [(sync_id, "new")]


def test_only_a_reader_of_short_manifests_is_refused_a_long_one(world: World) -> None:
    mount = world.context().mount
    for size in (LONG + 1, 2 * LONG):
        sync_id = put_of_size(world, size)
        with pytest.raises(ManifestIsLong):
            mount.read_manifest(sync_id, only_short=True)
        assert mount.read_manifest(sync_id).size == size
    assert mount.read_manifest(put_of_size(world, LONG), only_short=True).size == LONG

"""Many bundles that cannot be read yet: new ones are not delayed by them, and retries are few at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingestd.pipeline import delivery
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.lanes import Task
from ingestd.pipeline.reads import MAX_QUEUED
from ingestd.pipeline.reads import Reads as ManifestReads
from ingestd.pipeline.scanner import MAX_RETRIES, RETRY_GAP, Scanner
from support.scale import scaled
from support.scanning import Clock, Reads, recorded, write_manifest, write_sentinel
from support.world import World, new_sync_id, photo

MANY = scaled(400, 40_000)


def without_manifest(world: World, sync_id: str) -> None:
    write_sentinel(world, sync_id)


def with_half_a_manifest(world: World, sync_id: str) -> None:
    write_manifest(world, sync_id, photo("a"), part=0.5)
    write_sentinel(world, sync_id)


def with_an_empty_manifest(world: World, sync_id: str) -> None:
    write_manifest(world, sync_id, part=0.0)
    write_sentinel(world, sync_id)


def with_a_folder(world: World, sync_id: str) -> None:
    (world.root / f"sync/{sync_id}.json").mkdir()
    write_sentinel(world, sync_id)


class Submitted:
    """The names that readers get, in their order; `meanwhile` is called once, when they have got 20."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reads: ManifestReads, meanwhile: Callable[[], None]) -> None:
        self.names: list[str] = []
        self.before = 0
        self._real, self._meanwhile = reads.submit, meanwhile
        monkeypatch.setattr(reads, "submit", self._submit)

    def _submit(self, tasks: Sequence[Task]) -> None:
        self.names.extend(task.sync_id for task in tasks)
        self._real(tasks)
        if not self.before and len(self.names) >= 20:
            self.before = len(self.names)
            self._meanwhile()


@pytest.mark.soak
@pytest.mark.parametrize("are_probed", [False, True])
@pytest.mark.parametrize("deliver", [without_manifest, with_half_a_manifest, with_an_empty_manifest, with_a_folder])
def test_a_named_bundle_is_read_before_many_that_are_incomplete(
    world: World, monkeypatch: pytest.MonkeyPatch, deliver: Callable[[World, str], None], are_probed: bool
) -> None:
    """Also for a while after a read was silent, when each manifest is probed first.

    What counts is the order in which the readers get them: one reader may always be slower than another.
    """
    for _ in range(MANY):
        deliver(world, new_sync_id())
    scanner = Scanner(world.context())
    if are_probed:
        scanner._reads._probe_until = math.inf
    good = world.put(photo("good"), ready=False)

    def arrive() -> None:
        write_sentinel(world, good)
        scanner.name({good})

    submitted = Submitted(monkeypatch, scanner._reads, arrive)
    scanner.run_once()
    ahead = set(submitted.names[: submitted.names.index(good)])
    assert len(ahead) <= 20 + 2 * MAX_QUEUED < MANY, "only those that were submitted already, or just then"
    assert (good, "new") in recorded(world)


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


def make_incomplete(world: World, scanner: Scanner, sync_id: str) -> None:
    write_sentinel(world, sync_id)
    scanner.scan()
    write_manifest(world, sync_id, photo("late"))


def make_stuck(world: World, scanner: Scanner, sync_id: str) -> None:
    world.sql(
        "CREATE TRIGGER refusal BEFORE INSERT ON ingest_batch FOR EACH ROW"
        " SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = 'Out of range'"
    )
    world.put(photo("late"), sync_id=sync_id)
    try:
        scanner.scan()
    finally:
        world.sql("DROP TRIGGER refusal")
    assert scanner.stuck == 1


@pytest.mark.parametrize("make", [make_incomplete, make_stuck])
def test_what_waits_is_tried_again_while_many_new_bundles_are_read(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, make: Callable[[World, Scanner, str], None]
) -> None:
    context, late = world.context(), new_sync_id()
    scanner = Scanner(context)
    make(world, scanner, late)
    reads, real = Reads(monkeypatch, context), delivery.columns_of

    def columns_of(delivered: Delivery) -> dict[str, Any]:
        clock.now += 1.0
        return real(delivered)

    monkeypatch.setattr(delivery, "columns_of", columns_of)
    scanner.name([world.put(photo(str(number), files=0)) for number in range(5 * MAX_QUEUED)])
    while len(recorded(world)) <= 5 * MAX_QUEUED:
        scanner.run_once()
    assert reads.take().index(late) < 3 * MAX_QUEUED, "it waited for all new ones"

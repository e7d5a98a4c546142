"""The rotation: known manifests are compared with their digests in turn, by a part that nothing waits for."""

import threading
from collections.abc import Callable, Iterator

import pytest

from ingestd.mount.helper_pool import Use
from ingestd.pipeline import full_listings
from ingestd.pipeline import rotation as rotation_module
from ingestd.pipeline.context import Context
from ingestd.pipeline.rotation import BUSY_PAUSE, Compared, Rotation, RotationStep
from ingestd.pipeline.scanner import Scanner
from support.faulty_fuse import GETATTR, LOOKUP, OPEN, READ, FaultyFuse
from support.reaped import until_reaped
from support.scanning import recorded, write_manifest
from support.wait import until
from support.world import World, photo


class Rotating:
    """The rotation of a scanner that knows some bundles, and what it has had read again."""

    def __init__(self, context: Context) -> None:
        self.context, self.scanner = context, Scanner(context)
        self.scanner.scan()
        self.scanner.scan()  # from the second time on they are known
        self.rotation = self.scanner.rotation
        self.changed: list[str] = []
        self.is_busy = False
        self.step = RotationStep(context, self.rotation, lambda: self.is_busy, self.changed.extend)

    def begin_round(self) -> None:
        self.changed.clear()
        self.rotation._began_at = float("-inf")

    def round(self) -> list[str]:
        """All manifests have their turn; those that are to be read again, sorted."""
        self.begin_round()
        while self.rotation.due_in() <= 0.0:
            self.step.run_once()
        return sorted(self.changed)


@pytest.fixture
def known(world: World) -> list[str]:
    return sorted(world.put(photo(str(number))) for number in range(9))


@pytest.fixture
def far(world: World, faulty: FaultyFuse, known: list[str]) -> Iterator[Rotating]:
    """On a remote mount, where manifests may hang."""
    made = Rotating(world.context(mount={"root": faulty.point}))
    yield made
    faulty.clear()
    until_reaped(made.context.mount)


def change(world: World, sync_id: str) -> None:
    write_manifest(world, sync_id, photo("another"))


def remove(world: World, sync_id: str) -> None:
    (world.root / f"sync/{sync_id}.json").unlink()


def put_a_folder(world: World, sync_id: str) -> None:
    remove(world, sync_id)
    (world.root / f"sync/{sync_id}.json").mkdir()


@pytest.mark.parametrize("do", [change, remove, put_a_folder])
def test_what_is_not_as_recorded_is_read_again(
    world: World, known: list[str], do: Callable[[World, str], None]
) -> None:
    rotating = Rotating(world.context())
    assert rotating.round() == []
    do(world, known[4])
    assert rotating.round() == [known[4]]


def test_a_verdict_in_doubt_is_looked_at_by_the_scanner(world: World, known: list[str]) -> None:
    rotating = Rotating(world.context())
    world.sql("UPDATE ingest_batch SET status = 'invalid', invalid_basis = 'absence' WHERE sync_id = %s", known[2])
    assert rotating.round() == [known[2]]


def test_a_manifest_takes_few_operations_and_is_not_kept(far: Rotating, faulty: FaultyFuse, known: list[str]) -> None:
    faulty.valid = 60
    far.round()
    faulty.operations.clear()
    assert far.round() == []
    awaited = sum(faulty.operations[one] for one in (LOOKUP, GETATTR, OPEN, READ))
    assert awaited <= 3 * len(known) + 20, "to open it and to read it; the rest is a check of the mount"


def test_a_manifest_beyond_the_limit_is_not_read(world: World, known: list[str], faulty: FaultyFuse) -> None:
    rotating = Rotating(world.context(mount={"root": faulty.point, "max_manifest_bytes": 1000}))
    (world.root / f"sync/{known[0]}.json").write_bytes(b" " * 1001)
    faulty.operations.clear()
    assert rotating.round() == [known[0]]
    assert faulty.operations[READ] <= len(known) - 1


def test_it_rests_while_new_manifests_are_read(world: World, known: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rotating = Rotating(world.context())
    rotating.begin_round()
    rotating.is_busy = True
    with monkeypatch.context() as patched:
        patched.setattr(Rotation, "compare_next", lambda *_: pytest.fail("it reads"))
        assert rotating.step.run_once() == BUSY_PAUSE
    rotating.is_busy = False
    change(world, known[0])
    assert rotating.round() == [known[0]]


def test_the_scanner_is_busy_while_it_reads(world: World) -> None:
    scanner = Scanner(world.context())
    scanner.scan()
    assert not scanner.is_busy()
    sync_id = world.put(photo("new"))
    scanner.name([sync_id])
    assert scanner.is_busy()
    scanner.run_once()
    assert not scanner.is_busy()


def test_pauses_grow_with_the_processor_time(world: World, known: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rotating = Rotating(world.context())
    for cpu_seconds in (0.0, 0.01, 0.5):
        monkeypatch.setattr(Rotation, "compare_next", lambda *_, cpu=cpu_seconds: Compared(1, set(), cpu))
        rotating.begin_round()
        pause = rotating.step.run_once()
        assert pause == pytest.approx(max(rotation_module.MIN_PAUSE, cpu_seconds / rotation_module.SHARE_OF_PROCESSOR))


def test_rounds_begin_a_rescan_interval_apart(world: World, known: list[str]) -> None:
    rotating = Rotating(world.context(mount={"rescan_interval": 1000.0}))
    rotating.round()
    assert rotating.step.run_once() == pytest.approx(1000.0, abs=30.0)
    assert rotating.rotation.due_in() > 0.0


def test_without_time_each_has_its_turn_alone(world: World, known: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation_module, "GROUP_SECONDS", 0.0)
    rotating = Rotating(world.context())
    for sync_id in known:
        change(world, sync_id)
    turns = [rotating.rotation.compare_next() for _ in known]
    assert all(turn.turns == 1 for turn in turns)
    assert sorted(name for turn in turns for name in turn.changed) == known


def test_a_manifest_that_hangs_costs_one_helper_and_stops_no_other(
    world: World, far: Rotating, faulty: FaultyFuse, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "SILENCE", 0.5)
    faulty.hang(f"sync/{known[5]}.json", "open")
    far.begin_round()
    while not far.changed:
        assert far.step.run_once()
    assert far.changed == [known[5]], "the scanner finds out whether it hangs"
    assert far.context.mount._pool.hung(Use.MANIFEST) == 1
    assert far.step.run_once() == BUSY_PAUSE, "while it hangs, others may hang, too"
    new = world.put(photo("new"))
    far.scanner.name([new])
    far.scanner.run_once()
    assert (new, "new") in recorded(world)
    faulty.clear()
    until_reaped(far.context.mount)
    change(world, known[8])
    assert known[8] in far.round()


def test_bundles_are_recorded_while_a_listing_takes_long(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_listings, "EARLY_SECONDS", 0.0)
    context = world.context(mount={"root": faulty.point})
    scanner = Scanner(context)
    sync_id = world.put(photo("a"))
    faulty.break_listing("sync")
    scan = threading.Thread(target=scanner.run_once)
    scan.start()
    try:
        until(lambda: scanner._reads.pending or recorded(world), what="for the first part to be read")
    finally:
        faulty.clear()
        scan.join()
    assert recorded(world) == [(sync_id, "new")]


def test_a_manifest_that_comes_in_drips_does_not_keep_it_from_stopping(
    far: Rotating, faulty: FaultyFuse, known: list[str]
) -> None:
    faulty.drip(f"sync/{known[0]}.json", 0.3)
    far.begin_round()
    done = threading.Event()

    def work() -> None:
        far.step.run_once()
        done.set()

    threading.Thread(target=work).start()
    until(lambda: len(faulty.met) > 3, what="for the manifest to be read")
    far.step.stop()
    assert done.wait(10)

"""One bundle, one failure: whatever goes wrong while a bundle is read or recorded delays that bundle alone."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.errors import MountUnavailable
from ingestd.pipeline import delivery, reads
from ingestd.pipeline.context import Context
from ingestd.pipeline.scanner import PATIENCE, Scanner
from support.hanging import Hanging
from support.scanning import Clock, recorded
from support.wait import until
from support.watching import until_watching
from support.world import World, photo

FIRST, LAST = "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"


def ledger(world: World) -> list[dict[str, Any]]:
    """Payload and batch_id of each event about a stuck bundle."""
    rows = world.sql("SELECT batch_id, payload FROM ingest_event WHERE event_type = 'bundle_stuck' ORDER BY id")
    return [{"batch_id": batch_id, **json.loads(payload)} for batch_id, payload in rows]


def rows(world: World) -> list[str]:
    return [sync_id for (sync_id,) in world.sql("SELECT sync_id FROM ingest_stuck ORDER BY sync_id")]


@pytest.fixture
def refusing_server(world: World) -> Iterator[Callable[[], object]]:
    """A site's trigger that refuses batches of one source host; the value is a function that removes it."""
    world.sql(
        "CREATE TRIGGER refuse_one BEFORE INSERT ON ingest_batch FOR EACH ROW"
        " IF NEW.source_host = 'refused' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
    )

    def remove() -> None:
        world.sql("DROP TRIGGER IF EXISTS refuse_one")

    yield remove
    remove()


def refused_row(world: World, _context: Context, _patch: pytest.MonkeyPatch, sync_id: str) -> None:
    world.put(photo("bad"), sync_id=sync_id, source_host="refused")


def surprise_at(name: str, error: Exception) -> Callable[[World, Context, pytest.MonkeyPatch, str], None]:
    """An unforeseen exception for one bundle, in a function of `delivery`."""

    def cause(world: World, _context: Context, patch: pytest.MonkeyPatch, sync_id: str) -> None:
        world.put(photo("bad"), sync_id=sync_id)
        real = getattr(delivery, name)

        def failing(*values: Any, **options: Any) -> Any:
            if any(sync_id in (value, getattr(value, "sync_id", None)) for value in values):
                raise error
            return real(*values, **options)

        patch.setattr(delivery, name, failing)

    return cause


def hanging_read(world: World, context: Context, patch: pytest.MonkeyPatch, sync_id: str) -> None:
    world.put(photo("bad"), sync_id=sync_id)
    Hanging(patch, context).names.add(sync_id)


CAUSES = {
    "refused row": refused_row,
    "surprise while reading": surprise_at("read", RuntimeError("dictionary changed size")),
    "surprise while recording": surprise_at("columns_of", ZeroDivisionError("division by zero")),
    "recursion": surprise_at("read", RecursionError("maximum recursion depth exceeded")),
    "memory": surprise_at("columns_of", MemoryError()),
    "hanging read": hanging_read,
}


@pytest.mark.usefixtures("refusing_server")
@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_bundle_that_fails_delays_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, clock: Clock, cause: Callable[..., None]
) -> None:
    context = world.context(mount={"deadline": 0.2})
    scanner = Scanner(context)
    cause(world, context, monkeypatch, FIRST)
    others = sorted(world.put(photo(name)) for name in "ab")
    assert sorted(scanner.scan()) == others
    assert sorted(recorded(world)) == [(sync_id, "new") for sync_id in others]
    assert (scanner.stuck, scanner.unrecorded) == (1, 1)
    assert scanner.last_success is not None
    assert rows(world) == [FIRST]
    (event,) = ledger(world)
    assert (event["batch_id"], event["sync_id"], event["phase"]) == (None, FIRST, "scan")
    assert event["reason"]
    for _ in range(3):
        clock.now += 1000
        assert scanner.scan() == []
    assert len(ledger(world)) == 1, "one event, not one for each retry"
    assert scanner.stuck == 1


def test_stuck_bundle_is_recorded_and_forgotten_when_its_cause_is_gone(
    world: World, clock: Clock, refusing_server: Callable[[], object]
) -> None:
    scanner = Scanner(world.context())
    world.put(photo("bad"), sync_id=FIRST, source_host="refused")
    assert scanner.scan() == []
    first_pause = scanner.run_once()
    assert 0 < first_pause <= 5, "it has a backoff of its own"
    clock.now += first_pause
    assert scanner.run_once() > first_pause, "that grows"
    refusing_server()
    clock.now += 60
    scanner.run_once()
    assert recorded(world) == [(FIRST, "new")]
    assert (scanner.stuck, scanner.unrecorded, rows(world)) == (0, 0, [])


def test_next_process_takes_over_what_was_stuck(world: World, refusing_server: Callable[[], object]) -> None:
    world.put(photo("bad"), sync_id=FIRST, source_host="refused")
    Scanner(world.context()).scan()
    second = Scanner(world.context())
    assert second.scan() == []
    assert (second.stuck, len(ledger(world))) == (1, 1)
    refusing_server()
    assert Scanner(world.context()).scan() == [FIRST]
    assert rows(world) == []


@pytest.mark.usefixtures("refusing_server")
def test_stuck_bundle_whose_sentinel_is_gone_is_forgotten(world: World) -> None:
    scanner = Scanner(world.context())
    world.put(photo("bad"), sync_id=FIRST, source_host="refused")
    scanner.scan()
    (world.root / "sync" / f"{FIRST}.ready").unlink()
    scanner.scan()
    assert (scanner.stuck, rows(world)) == (0, [])


def test_redelivery_that_cannot_be_recorded_is_reported_with_its_batch(world: World) -> None:
    scanner = Scanner(world.context())
    world.put(photo("a"), sync_id=FIRST)
    scanner.scan()
    world.sql(
        "CREATE TRIGGER refuse_change BEFORE UPDATE ON ingest_batch FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no changes'"
    )
    try:
        world.put(photo("b"), sync_id=FIRST)
        other = world.put(photo("c"))
        assert scanner.scan() == [other]
    finally:
        world.sql("DROP TRIGGER refuse_change")
    (event,) = ledger(world)
    assert event["batch_id"] == world.one("SELECT id FROM ingest_batch WHERE sync_id = %s", FIRST)
    assert "no changes" in event["reason"]


def test_outage_of_the_mount_is_not_blamed_on_a_bundle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context(mount={"deadline": 0.2})
    scanner, hanging = Scanner(context), Hanging(monkeypatch, context)
    scanner.run_once()
    hanging.names.add(world.put(photo("a"), sync_id=FIRST))
    real = context.mount.check
    checks: list[int] = []

    def check() -> Any:
        checks.append(1)
        if len(checks) > 1:
            raise MountUnavailable("the mount does not answer")
        return real()

    monkeypatch.setattr(context.mount, "check", check)
    scanner.name({FIRST})
    with pytest.raises(MountUnavailable):
        scanner.run_once()
    assert scanner.stuck == 0
    assert ledger(world) == []
    monkeypatch.setattr(context.mount, "check", real)
    hanging.release()
    scanner.run_once()
    assert recorded(world) == [(FIRST, "new")]


# reads that hang


@pytest.mark.parametrize("count", [1, 12])
def test_daemon_records_a_bundle_beside_reads_that_hang(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(reads, "FIRST_SILENCE", 0.3)
    daemon = Daemon(world.settings(mount={"deadline": 20.0}))
    hanging = Hanging(monkeypatch, daemon.context)
    daemon.start()
    try:
        until_watching(daemon)
        bad = [f"{FIRST[:-4]}{number:04x}" for number in range(count)]
        hanging.names.update(bad)
        for sync_id in bad:
            world.put(photo("bad"), sync_id=sync_id)
        until(lambda: len(set(hanging.begun)) >= min(count, 4))
        start = time.monotonic()
        world.put(photo("good"), sync_id=LAST)
        until(lambda: recorded(world) == [(LAST, "new")])
        assert time.monotonic() - start < 5
        until(lambda: len(set(hanging.begun)) == count, what="for the others to be tried")
        late = world.put(photo("late"))
        until(lambda: (late, "new") in recorded(world))
        assert hanging.running <= sum(reads.READERS.values())
        hanging.release()
        until(lambda: len(recorded(world)) == count + 2)
        assert daemon.scanner.stuck == 0
    finally:
        hanging.release()
        daemon.stop()


def test_scan_of_a_command_waits_for_slow_reads_and_one_of_the_daemon_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(mount={"deadline": 20.0})
    scanner, hanging = Scanner(context), Hanging(monkeypatch, context)
    hanging.names.add(world.put(photo("a"), sync_id=FIRST))
    good = world.put(photo("b"))
    start = time.monotonic()
    assert scanner.scan(patience=0.2) == [good]
    assert time.monotonic() - start < PATIENCE + 3
    assert scanner.unrecorded == 1
    hanging.release()
    assert scanner.scan() == [FIRST]

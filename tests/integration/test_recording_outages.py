"""A database in trouble while bundles are recorded: a held row delays one batch, and an outage blames no bundle."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline import recording, stuck
from ingestd.pipeline.scanner import Scanner
from support.scanning import Clock, recorded
from support.wait import until
from support.world import World, photo

REFUSE = (
    "CREATE TRIGGER refuse_{0} BEFORE INSERT ON {0} FOR EACH ROW"
    " SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {1}, MESSAGE_TEXT = 'for a moment'"
)


@contextmanager
def holding(world: World, statement: str, *values: str) -> Iterator[None]:
    """Another client runs a statement in a transaction that does not end."""
    settings = world.server.owner_settings()
    client = pymysql.connect(
        unix_socket=settings.unix_socket,
        user=settings.user,
        password=settings.password(),
        database=settings.name,
        ssl_disabled=True,
    )
    with client.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        client.begin()
        cursor.execute(statement, values)
    try:
        yield
    finally:
        client.rollback()
        client.close()


def stuck_events(world: World) -> list[str]:
    rows = world.sql("SELECT payload FROM ingest_event WHERE event_type = 'bundle_stuck' ORDER BY id")
    return [json.loads(payload)["sync_id"] for (payload,) in rows]


def test_held_batches_delay_no_other_bundle(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context())
    known = [world.put(photo(str(number))) for number in range(5)]
    scanner.scan()
    with holding(world, "SELECT * FROM ingest_batch FOR UPDATE"):
        for sync_id in known:
            world.put(photo("changed"), sync_id=sync_id)
        healthy, start = world.put(photo("healthy")), time.perf_counter()
        assert scanner.scan() == [healthy]
        assert time.perf_counter() - start < 5
        assert (scanner.stuck, stuck_events(world)) == (0, []), "a lock that is held for a moment is not reported"
        assert 0 < scanner.run_once() <= recording.MAX_LOCK_PAUSE
        clock.now += recording.REPORT_LOCKED
        scanner.run_once()
        assert scanner.stuck == 5
        assert sorted(stuck_events(world)) == sorted(known)
    clock.now += recording.MAX_LOCK_PAUSE
    scanner.run_once()
    assert scanner.stuck == 0
    events = world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'manifest_changed'")
    assert events == 5, "each is recorded soon after the lock is gone, and once"


def test_bundle_that_a_frozen_host_records_delays_no_other(world: World, clock: Clock) -> None:
    sync_id, healthy = world.put(photo("a")), world.put(photo("b"))
    scanner = Scanner(world.context())
    insert = "INSERT INTO ingest_batch (sync_id, status, discovered_at) VALUES (%s, 'new', UTC_TIMESTAMP(6))"
    with holding(world, insert, sync_id):
        start = time.perf_counter()
        assert scanner.scan() == [healthy]
        assert time.perf_counter() - start < 8
    clock.now += recording.MAX_LOCK_PAUSE
    scanner.run_once()
    assert sorted(recorded(world)) == sorted([(healthy, "new"), (sync_id, "new")])
    assert stuck_events(world) == []


@pytest.mark.parametrize("number", [1290, 1021, 1114, 3999], ids=["read only", "disk full", "table full", "unlisted"])
def test_a_database_that_takes_nothing_blames_no_bundle(world: World, clock: Clock, number: int) -> None:
    scanner = Scanner(world.context())
    scanner.scan()
    tables = ("ingest_batch", "ingest_stuck", "ingest_event")
    for table in tables:
        world.sql(REFUSE.format(table, number))
    try:
        bundles = {world.put(photo(str(number))) for number in range(3)}
        scanner.name(bundles)
        for _ in range(4):
            with pytest.raises(DatabaseUnavailable):
                scanner.run_once()
            clock.now += 4
        assert scanner.stuck == 0
    finally:
        for table in tables:
            world.sql(f"DROP TRIGGER refuse_{table}")
    scanner.run_once()
    assert {sync_id for sync_id, _ in recorded(world)} == bundles, "in the first round after its end"


def test_an_error_about_the_moment_is_tried_again_within_seconds(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context())
    bundle = world.put(photo("a"))
    world.sql(REFUSE.format("ingest_batch", 3999))
    try:
        scanner.scan()
        for _ in range(8):
            clock.now += recording.MAX_MOMENT_PAUSE
            scanner.run_once()
        assert stuck_events(world) == [bundle]
    finally:
        world.sql("DROP TRIGGER refuse_ingest_batch")
    clock.now += recording.MAX_MOMENT_PAUSE
    scanner.run_once()
    assert recorded(world) == [(bundle, "new")]


# stuck bundles


def test_a_stuck_bundle_whose_sentinel_comes_and_goes_is_reported_once(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context())
    bundle = world.put(photo("a"))
    sentinel = world.root / "sync" / f"{bundle}.ready"
    world.sql(REFUSE.format("ingest_batch", 1644))
    try:
        scanner.scan()
        for _ in range(10):
            for change in (sentinel.unlink, sentinel.touch):
                change()
                scanner.name({bundle})
                scanner.run_once()
                clock.now += 1.0
        assert stuck_events(world) == [bundle]
    finally:
        world.sql("DROP TRIGGER refuse_ingest_batch")
    scanner.name({bundle})
    assert scanner.run_once() <= 1.0, "an event makes it due soon, however often it was tried"
    clock.now += 1.0
    scanner.run_once()
    assert recorded(world) == [(bundle, "new")]


@pytest.mark.parametrize("what", ["recorded", "deleted"])
def test_what_a_host_reported_that_is_gone_is_forgotten(world: World, what: str) -> None:
    scanner = Scanner(world.context())
    bundle = world.put(photo("a"))
    scanner.scan()
    long_ago = "UTC_TIMESTAMP(6) - INTERVAL 1 DAY"
    world.sql(f"INSERT INTO ingest_stuck VALUES (%s, 'it hangs', 'gone', {long_ago}, {long_ago})", bundle)
    if what == "deleted":
        (world.root / "sync" / f"{bundle}.ready").unlink()
    scanner.scan()
    until(lambda: scanner.scan() == [] and world.sql("SELECT * FROM ingest_stuck") == [])


REPORT = (
    "INSERT INTO ingest_stuck VALUES (%s, 'a host that froze meanwhile', 'frozen', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
)


@contextmanager
def refusing(world: World, bad: str) -> Iterator[None]:
    """The database refuses the batch of one bundle."""
    refuse = REFUSE.format("ingest_batch", 1644).replace("SIGNAL", f"IF NEW.sync_id = '{bad}' THEN SIGNAL")
    world.sql(f"{refuse}; END IF")
    try:
        yield
    finally:
        world.sql("DROP TRIGGER refuse_ingest_batch")


def test_a_report_that_others_hold_delays_no_other_bundle(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context())
    scanner.scan()
    bad = world.put(photo("bad"))
    with refusing(world, bad):
        with holding(world, REPORT, bad):
            start = time.perf_counter()
            for _ in range(2):
                healthy = world.put(photo("healthy"))
                assert scanner.scan() == [healthy]
                clock.now += stuck.FIRST_PAUSE
            assert time.perf_counter() - start < 8
        assert (scanner.stuck, stuck_events(world)) == (1, [])
        clock.now += stuck.MAX_PAUSE
        scanner.run_once()
        assert stuck_events(world) == [bad], "it is reported once its row is free"


def test_the_end_of_a_report_that_others_hold_delays_no_other_bundle(world: World, clock: Clock) -> None:
    scanner = Scanner(world.context())
    bad = world.put(photo("bad"))
    with refusing(world, bad):
        scanner.scan()
    assert stuck_events(world) == [bad]
    clock.now += stuck.MAX_PAUSE
    with holding(world, "SELECT * FROM ingest_stuck FOR UPDATE"):
        healthy, start = world.put(photo("healthy")), time.perf_counter()
        assert scanner.scan() == sorted([bad, healthy])
        assert time.perf_counter() - start < 8
    for _ in range(2):
        clock.now += stuck.MAX_PAUSE
        scanner.scan()
    assert (scanner.stuck, world.sql("SELECT sync_id FROM ingest_stuck")) == (0, [])
    assert stuck_events(world) == [bad]

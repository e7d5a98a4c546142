"""The ledger of all batches: every filter finds what matches, by index, however many events there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import NamedTuple

import pytest

from ingestd.model import DAEMON
from ingestd.records import Event
from ingestd.store import ledger
from ingestd.store.db import Database
from ingestd.store.queries import events, paging
from ingestd.store.queries.events import Filter
from ingestd.store.queries.paging import NEWEST
from support.large_database import fill_database
from support.paging import each_of
from support.plans import rows_touched
from support.world import World, photo

ACTORS = ("olga", DAEMON, "OLGA", "größe", None)
TYPES = ("job_queued", "item_created", "queue_paused")


@pytest.fixture
def db(world: World) -> Database:
    return world.context().db


class Row(NamedTuple):
    id: int
    batch_id: int | None
    event_type: str
    actor: str | None


def seed(world: World, db: Database, count: int = 60) -> list[Row]:
    """Events of two batches and of none, of several types and actors; newest first."""
    made = []
    ids = [world.one("INSERT INTO ingest_batch (sync_id, status, discovered_at) VALUES (%s, 'new', NOW()) RETURNING id",
                     f"{number:036}") for number in range(2)]  # fmt: skip
    for number in range(count):
        batch_id, actor = (*ids, None)[number % 3], ACTORS[number % len(ACTORS)]
        event_type = TYPES[number % len(TYPES) if number % 7 else 0]
        append = partial(ledger.append, batch_id=batch_id, event_type=event_type, requested_by=actor)
        db.transaction(append)
        made.append(Row(world.one("SELECT MAX(id) FROM ingest_event"), batch_id, event_type, actor))
    return made[::-1]


def pages(db: Database, wanted: Filter, limit: int) -> Iterator[Event]:
    return each_of(db, partial(events.page, wanted=wanted), limit)


@contextmanager
def without_trigger(world: World, name: str) -> Iterator[None]:
    ((_, _, statement, *_),) = world.sql(f"SHOW CREATE TRIGGER {name}")
    world.sql(f"DROP TRIGGER {name}")
    try:
        yield
    finally:
        world.sql(statement)


@pytest.mark.parametrize("window", [paging.WINDOW, 5, 1])
def test_every_filter_finds_the_matching_events(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    rows = seed(world, db)
    monkeypatch.setattr(paging, "WINDOW", window)
    middle = rows[len(rows) // 2].id
    batch_ids = {row.batch_id for row in rows}
    values = product((*batch_ids, -1), (None, *TYPES, "unknown"), (None, *ACTORS[:-1], "otto"))
    for batch_id, event_type, actor in values:
        matching = [
            row.id
            for row in rows
            if batch_id in (None, row.batch_id) and event_type in (None, row.event_type) and actor in (None, row.actor)
        ]
        wanted = Filter(batch_id, event_type, actor)
        assert [event.id for event in pages(db, wanted, 3)] == matching, wanted
        later = Filter(batch_id, event_type, actor, above=middle)
        assert [event.id for event in pages(db, later, 3)] == [id_ for id_ in matching if id_ > middle], later


def test_events_name_their_batch(world: World, db: Database) -> None:
    seed(world, db, 3)
    assert [event.sync_id for event in pages(db, Filter(), 10)] == [None, f"{1:036}", f"{0:036}"]


def test_events_since_a_time(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a transaction took its ids early and its times late, or the other way round."""
    seed(world, db)
    start = datetime(2026, 3, 1)
    first = world.one("SELECT MIN(id) FROM ingest_event")
    with without_trigger(world, "ingest_event_is_append_only_update"):
        for number in range(60):
            late = timedelta(seconds=(-9, 0, 9)[number % 3] if 20 < number < 40 else 0)
            at = start + timedelta(minutes=number) + late
            world.sql("UPDATE ingest_event SET created_at = %s WHERE id = %s", at, first + number)
    rows = world.sql("SELECT id, created_at FROM ingest_event ORDER BY id DESC")
    monkeypatch.setattr(paging, "WINDOW", 4)
    for minutes in (-1, 0, 0.5, 19, 30, 30.1, 59, 60):
        since = start + timedelta(minutes=minutes)
        expected = [id_ for id_, at in rows if at >= since]
        assert [event.id for event in pages(db, Filter(since=since), 7)] == expected, minutes
        typed = Filter(since=since, event_type="job_queued", actor="olga")
        assert {event.id for event in pages(db, typed, 7)} <= set(expected)


def test_no_events(db: Database) -> None:
    assert list(pages(db, Filter(), 5)) == list(pages(db, Filter(since=datetime(2026, 1, 1)), 5)) == []


def test_a_page_reads_no_more_than_its_window(world: World, db: Database) -> None:
    batch_id = fill_database(world)
    for actor in ("olga", "ingestd"):
        world.sql("INSERT INTO ingest_event (batch_id, event_type, payload) SELECT %s, 'job_queued',"
                  " JSON_OBJECT('requested_by', %s) FROM seq_1_to_3000", batch_id, actor)  # fmt: skip
    world.sql("INSERT INTO ingest_event_actor SELECT 'olga', id FROM ingest_event"
              " WHERE JSON_VALUE(payload, '$.requested_by') = 'olga'")  # fmt: skip
    world.sql("ANALYZE TABLE ingest_event, ingest_event_actor")
    since = world.one("SELECT MAX(created_at) FROM ingest_event")
    few = [Filter(), Filter(batch_id), Filter(None, "job_queued"), Filter(None, "no_such"), Filter(actor="olga")]
    few += [Filter(since=since + timedelta(days=1)), Filter(None, "item_created", since=since + timedelta(days=1))]
    many = [Filter(batch_id, "item_failed"), Filter(batch_id, actor="otto"), Filter(None, "no_such", "olga")]
    many += [Filter(actor=DAEMON), Filter(None, "item_created", DAEMON)]
    for wanted in (*few, *many):
        touched = rows_touched(db, partial(events.page, wanted=wanted, before=NEWEST, limit=10))
        assert touched < (150 if wanted in few else 5 * paging.WINDOW + 100), wanted


def test_events_are_found_by_their_operator(world: World, db: Database) -> None:
    """Also one whose name is longer than the column: the event must not be refused for it."""
    world.import_all(world.context(), world.put(photo("a")))
    long = "ä" * 300
    db.transaction(lambda tx: ledger.append_rows(tx, [
        (None, "queue_paused", {"requested_by": "olga"}), (None, "queue_resumed", {"requested_by": DAEMON}),
        (None, "queue_paused", {"requested_by": long}), (None, "mount_accepted", {"requested_by": "olga"}),
    ]))  # fmt: skip

    def found(actor: str) -> list[str]:
        return [event.event_type for event in pages(db, Filter(actor=actor), 2)]

    assert found("olga") == ["mount_accepted", "queue_paused"]
    assert found("tester") == ["job_queued"]
    assert found(DAEMON) == ["queue_resumed"]
    assert world.sql("SELECT DISTINCT actor FROM ingest_event_actor ORDER BY 1") == [
        ("olga",),
        ("tester",),
        (long[:255],),
    ]

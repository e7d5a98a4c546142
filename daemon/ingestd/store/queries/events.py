"""The ledger as lists and pages show it, newest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from ingestd.model import DAEMON
from ingestd.records import Event
from ingestd.store.db import Tx
from ingestd.store.queries import paging
from ingestd.store.queries.paging import Page, cut
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/events")
_events = RowReader(Event)

OVERLAP = timedelta(seconds=10)
"""how much earlier an event may be than one with a lower id, because their transactions ran at the same time"""


EPOCH = datetime(1970, 1, 1)
"""nothing is older"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to list: of a batch, of a type, requested by an actor, since a time (naive UTC), above an id."""

    batch_id: int | None = None
    event_type: str | None = None
    actor: str | None = None
    since: datetime | None = None
    above: int | None = None


def page(tx: Tx, wanted: Filter, *, before: int, limit: int) -> Page[Event]:
    """Events with an id below `before`. Where no index has just those that are wanted, a page searches a window."""
    values: dict[str, Any] = {"before": before, "down_to": _down_to(tx, wanted)}
    values |= {"batch_id": wanted.batch_id, "event_type": wanted.event_type, "actor": wanted.actor}
    query, window, served = _queries_for(wanted)
    filters = sum(value is not None for value in (wanted.batch_id, wanted.event_type, wanted.actor))
    looked_until = _window_end(tx, window, values) if filters > served else None
    if looked_until is not None:
        values["down_to"] = looked_until
    rows = query(tx.connection, **values, since=wanted.since, limit=limit + 1)
    return cut(_events.all(rows), attrgetter("id"), limit, looked_until)


def _queries_for(wanted: Filter) -> tuple[Any, Any, int]:
    """The query whose index leaves the least to be searched, that of its window, and for how many filters it serves."""
    if wanted.batch_id is not None:
        return _sql.of_batch, _sql.window_of_batch, 1
    if wanted.actor not in (None, DAEMON):  # what ingestd does by itself is most of the ledger
        return _sql.of_actor, _sql.window_of_actor, 1
    return (_sql.newest, _sql.window, 0) if wanted.event_type is None else (_sql.of_type, _sql.window_of_type, 1)


def _window_end(tx: Tx, window: Any, values: dict[str, Any]) -> int | None:
    """Where the window of a page ends; None if it ends the list."""
    last, count = window(tx.connection, **values, window=paging.WINDOW)
    return last if count == paging.WINDOW else None


def _down_to(tx: Tx, wanted: Filter) -> int:
    """The lowest id that may be wanted."""
    above = 0 if wanted.above is None else wanted.above + 1
    return above if wanted.since is None else max(above, _first_since(tx, max(wanted.since, EPOCH) - OVERLAP))


def _first_since(tx: Tx, since: datetime) -> int:
    """An id below which all events are earlier. No index is needed for that: times grow with the ids."""
    oldest, newest = _sql.ends(tx.connection)
    if oldest is None:
        return 0
    low, high = oldest, newest + 1
    while low < high:
        middle = (low + high) // 2
        id_, created_at = _sql.first_from(tx.connection, id=middle)
        if created_at >= since:
            high = middle
        else:
            low = id_ + 1
    return int(low)

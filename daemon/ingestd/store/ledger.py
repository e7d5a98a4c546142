"""ingest_event rows: one event per fact, appended in the transaction of the fact."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ingestd.store.db import Json, Tx, load_queries

_sql = load_queries("ledger")

ROWS_PER_STATEMENT = 1000

Event = tuple[str, dict[str, Any]]
"""An event type and its payload."""


def append(tx: Tx, batch_id: int | None, event_type: str, **payload: Any) -> None:
    """Appends one event; `payload` must name its phase."""
    _sql.append(tx.connection, batch_id=batch_id, event_type=event_type, payload=Json(_json(payload)))


def append_many(tx: Tx, batch_id: int, events: Sequence[Event]) -> None:
    """Appends events in order, many to a statement."""
    rows = [(event_type, _json(payload)) for event_type, payload in events]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        part = Json(orjson.dumps(rows[start : start + ROWS_PER_STATEMENT]).decode())
        _sql.append_many(tx.connection, batch_id=batch_id, rows=part)


def latest(tx: Tx, batch_id: int, most: int) -> list[tuple[int, str, dict[str, Any], datetime]]:
    """The newest events of a batch, newest first: (id, type, payload, created_at)."""
    rows = _sql.latest(tx.connection, batch_id=batch_id, most=most)
    return [(id_, event_type, orjson.loads(payload), at) for id_, event_type, payload, at in rows]


def _json(payload: dict[str, Any]) -> str:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC).decode()

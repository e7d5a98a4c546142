"""ingest_event rows: one event per fact, appended in the transaction of the fact."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ingestd.store.db import Tx, load_queries
from ingestd.store.values import Ids, Json

_sql = load_queries("ledger")

ROWS_PER_STATEMENT = 1000


def append(tx: Tx, batch_id: int | None, event_type: str, **payload: Any) -> None:
    """Appends one event; `payload` must name its phase."""
    _sql.append(tx.connection, batch_id=batch_id, event_type=event_type, payload=Json(_json(payload)))


def append_items(tx: Tx, item_ids: Sequence[int]) -> None:
    """Tells what was just decided of some items, one event each, in order of the manifest."""
    for start in range(0, len(item_ids), ROWS_PER_STATEMENT):
        _sql.append_items(tx.connection, ids=Ids(item_ids[start : start + ROWS_PER_STATEMENT]))


def latest(tx: Tx, batch_id: int, limit: int) -> list[tuple[int, str, dict[str, Any], datetime]]:
    """The newest events of a batch, newest first: (id, type, payload, created_at)."""
    rows = _sql.latest(tx.connection, batch_id=batch_id, limit=limit)
    return [(id_, event_type, orjson.loads(payload), at) for id_, event_type, payload, at in rows]


def _json(payload: dict[str, Any]) -> str:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC).decode()

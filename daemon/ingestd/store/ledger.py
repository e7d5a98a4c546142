"""ingest_event rows: one event per fact, appended in the transaction of the fact."""

from collections.abc import Sequence
from typing import Any

import orjson

from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import ROWS_PER_STATEMENT, Ids, Json

_sql = Queries("ledger")


def append(tx: Tx, batch_id: int | None, event_type: str, **payload: Any) -> None:
    """Appends one event; `payload` must name its phase."""
    _sql.append(tx.connection, batch_id=batch_id, event_type=event_type, payload=Json(_json(payload)))


def append_items(tx: Tx, item_ids: Sequence[int]) -> None:
    """Appends one event for the decision of each item, in order of the manifest."""
    for start in range(0, len(item_ids), ROWS_PER_STATEMENT):
        _sql.append_items(tx.connection, ids=Ids(item_ids[start : start + ROWS_PER_STATEMENT]))


def _json(payload: dict[str, Any]) -> str:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC).decode()

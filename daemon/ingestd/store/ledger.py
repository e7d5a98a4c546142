"""ingest_event rows: one event per fact, appended in the transaction of the fact."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from ingestd.model import DAEMON
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import ROWS_PER_STATEMENT, Ids, Json, rows_json

_sql = Queries("ledger")


def append(tx: Tx, batch_id: int | None, event_type: str, **payload: Any) -> None:
    """Appends one event, which is also the receipt of the transaction; `payload` must name its phase."""
    append_all(tx, batch_id, [(event_type, payload)])


def append_all(tx: Tx, batch_id: int | None, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Appends a few events of one batch, in this order: (type, payload)."""
    append_rows(tx, [(batch_id, kind, payload) for kind, payload in events])


def append_rows(tx: Tx, events: Sequence[tuple[int | None, str, dict[str, Any]]]) -> None:
    """Appends events in this order: (batch id, type, payload); at most as many as one statement takes.

    The first is the receipt.
    """
    texts = [(batch_id, kind, Json(_json(payload))) for batch_id, kind, payload in events]
    _sql.append(tx.connection, [{"batch_id": id_, "event_type": kind, "payload": text} for id_, kind, text in texts])
    event_id: int = tx.connection.insert_id()  # type: ignore[no-untyped-call]
    if any(payload.get("requested_by") not in (None, DAEMON) for _, _, payload in events):
        _sql.note_actors(tx.connection, first=event_id, count=len(events), daemon=DAEMON)
    (_, event_type, first), *_ = texts
    tx.receipt = partial(is_recorded, event_id=event_id, event_type=event_type, payload=first)


def append_many(tx: Tx, batch_id: int, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Appends events in this order: (event type, payload). The transaction needs another receipt."""
    for part in rows_json([(event_type, _json(payload).decode()) for event_type, payload in events]):
        _sql.append_many(tx.connection, batch_id=batch_id, rows=part)


def is_recorded(tx: Tx, event_id: int, event_type: str, payload: Json) -> bool:
    """Whether an event was committed. Waits for its transaction if that is still running."""
    return _sql.recorded(tx.connection, event_id=event_id, event_type=event_type, payload=payload) is not None


def append_items(tx: Tx, item_ids: Sequence[int]) -> None:
    """Appends one event for the decision of each item, in order of the manifest."""
    for start in range(0, len(item_ids), ROWS_PER_STATEMENT):
        part = item_ids[start : start + ROWS_PER_STATEMENT]
        first, last = min(part), max(part)
        if last - first == len(part) - 1:  # most are, and a range is quicker to look up
            _sql.append_item_range(tx.connection, first=first, last=last)
        else:
            _sql.append_items(tx.connection, ids=Ids(part))


def append_items_of(tx: Tx, batch_ids: Sequence[int]) -> None:
    """Appends one event for the decision of each item of some batches: assets first, in order of the manifest."""
    _sql.append_items_of(tx.connection, batch_ids=Ids(batch_ids))


def _json(payload: dict[str, Any]) -> bytes:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC)

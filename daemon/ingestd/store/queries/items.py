"""Listed items and containers of one batch, in the order of its manifest."""

from operator import attrgetter
from typing import Any

from ingestd.model import Decision
from ingestd.records import Container, Item
from ingestd.store.db import Tx
from ingestd.store.queries import paging
from ingestd.store.queries.paging import Page, cut
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/items")
_items = RowReader(Item)
_containers = RowReader(Container)
_ordinal = attrgetter("ordinal")
NEEDING_ATTENTION = (Decision.FAILED, Decision.DEFERRED)
"""decisions with an index of their own"""


def page(tx: Tx, batch_id: int, *, decision: str | None = None, after: int, limit: int) -> Page[Item]:
    """Items with an ordinal above `after`."""
    wanted: dict[str, Any] = {"batch_id": batch_id, "after": after, "limit": limit + 1}
    if decision in NEEDING_ATTENTION:
        rows = _sql.needing_attention(tx.connection, decision=decision, **wanted)
        return cut(_items.all(rows), _ordinal, limit)
    up_to, seen = _sql.window(tx.connection, batch_id=batch_id, after=after, window=paging.WINDOW)
    if not seen:
        return [], None
    if decision is None:
        rows = _sql.listed(tx.connection, up_to=up_to, **wanted)
    else:
        rows = _sql.decided(tx.connection, up_to=up_to, decision=decision, **wanted)
    return cut(_items.all(rows), _ordinal, limit, up_to if seen == paging.WINDOW else None)


def containers(tx: Tx, batch_id: int, *, limit: int = 100) -> list[Container]:
    return _containers.all(_sql.containers(tx.connection, batch_id=batch_id, limit=limit))

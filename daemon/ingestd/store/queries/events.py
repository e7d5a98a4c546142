"""Events of one batch, newest first."""

from operator import attrgetter

from ingestd.records import Event
from ingestd.store.db import Tx
from ingestd.store.queries.paging import Page, cut
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/events")
_events = RowReader(Event)


def page(tx: Tx, batch_id: int, *, before: int, limit: int) -> Page[Event]:
    """Events with an id below `before`."""
    rows = _sql.of_batch(tx.connection, batch_id=batch_id, before=before, limit=limit + 1)
    return cut(_events.all(rows), attrgetter("id"), limit)

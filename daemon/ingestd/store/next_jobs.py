"""The jobs that are claimed next, for those who prepare for them."""

from ingestd.store.db import Tx
from ingestd.store.sql import Queries

_sql = Queries("job")


def next_small(tx: Tx, items: int, limit: int) -> list[tuple[str, str]]:
    """The next queued jobs of whole bundles with at most `items` items, in order of claims: sync_id and digest."""
    return list(_sql.next_small(tx.connection, items=items, limit=limit))

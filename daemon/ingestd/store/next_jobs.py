"""What is queued, for those who wake or prepare for it."""

from typing import NamedTuple

from ingestd.store.db import Tx
from ingestd.store.sql import Queries

_sql = Queries("job")


class QueuedWork(NamedTuple):
    """Whether work of each kind is queued."""

    jobs: bool
    scans: bool
    preflights: bool


def queued(tx: Tx) -> QueuedWork:
    """Which kinds of work are queued, on any host."""
    return QueuedWork(*map(bool, _sql.queued(tx.connection)))


def next_small(tx: Tx, items: int, limit: int) -> list[tuple[str, str]]:
    """The next queued jobs of whole bundles with at most `items` items, in order of claims: sync_id and digest."""
    return list(_sql.next_small(tx.connection, items=items, limit=limit))

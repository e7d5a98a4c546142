"""Stuck bundles as commands, pages and the HTTP interface list them."""

from ingestd.records import StuckBundle
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/stuck")
_stuck = RowReader(StuckBundle)

LISTED = 100


def oldest(tx: Tx, limit: int = LISTED) -> list[StuckBundle]:
    return _stuck.all(_sql.oldest(tx.connection, limit=limit))

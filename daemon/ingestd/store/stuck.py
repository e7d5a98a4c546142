"""ingest_stuck rows: bundles that cannot be read or recorded. A row ends with its cause; its events stay."""

from ingestd.store.db import Tx
from ingestd.store.sql import Queries

_sql = Queries("stuck")


def sync_ids(tx: Tx) -> list[str]:
    return [row[0] for row in _sql.sync_ids(tx.connection)]


def insert(tx: Tx, sync_id: str, reason: str, reported_by: str) -> bool:
    """False if the bundle is reported already."""
    return bool(_sql.insert(tx.connection, sync_id=sync_id, reason=reason, reported_by=reported_by))


def delete(tx: Tx, sync_id: str) -> None:
    _sql.delete(tx.connection, sync_id=sync_id)

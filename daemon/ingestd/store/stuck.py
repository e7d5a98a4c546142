"""ingest_stuck rows: bundles that cannot be read or recorded. A row ends with its cause; its events stay."""

from ingestd.store.db import Tx
from ingestd.store.sql import Queries

_sql = Queries("stuck")


def sync_ids(tx: Tx) -> list[str]:
    return [row[0] for row in _sql.sync_ids(tx.connection)]


def insert(tx: Tx, sync_id: str, reason: str, reported_by: str) -> bool:
    """False if the bundle is reported already."""
    return bool(_sql.insert(tx.connection, sync_id=sync_id, reason=reason, reported_by=reported_by))


def refresh(tx: Tx, sync_id: str) -> bool:
    """Notes that a bundle is still stuck. False if it is not reported any more."""
    return bool(_sql.refresh(tx.connection, sync_id=sync_id))


def delete_unlisted(tx: Tx, sync_id: str, host: str, silence: float) -> bool:
    """Ends the report of a bundle that a host does not list. False if another host made it, and it is recent."""
    return bool(_sql.delete_unlisted(tx.connection, sync_id=sync_id, host=host, silence_us=int(silence * 1e6)))


def delete(tx: Tx, sync_id: str) -> bool:
    return bool(_sql.delete(tx.connection, sync_id=sync_id))

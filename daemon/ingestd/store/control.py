"""The ingest_control row: whether the queue is paused, on every host."""

from ingestd.records import Control
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader

_sql = Queries("control")
_control = RowReader(Control)


def find(tx: Tx) -> Control:
    return _control(_sql.find(tx.connection))


def is_paused(tx: Tx) -> bool:
    """Whether the queue is paused, which stays so until the transaction ends."""
    return bool(_sql.is_paused(tx.connection))


def pause(tx: Tx, requested_by: str, reason: str | None) -> bool:
    """False when the queue was paused already."""
    return bool(_sql.pause(tx.connection, requested_by=requested_by, reason=reason))


def resume(tx: Tx) -> bool:
    """False when the queue was not paused."""
    return bool(_sql.resume(tx.connection))

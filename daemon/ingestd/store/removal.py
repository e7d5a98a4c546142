"""ingest_batch_removal rows: what the manifest of a batch takes out of sight, so far and as expected."""

from ingestd.removal_counts import Removals, StoredRemovals
from ingestd.store.db import Tx
from ingestd.store.item import OPEN
from ingestd.store.sql import Queries

_sql = Queries("removal")


def find(tx: Tx, batch_id: int, sha256: str | None) -> StoredRemovals:
    """The counts for one digest of the manifest; all zero if it has none."""
    row = _sql.find(tx.connection, batch_id=batch_id, sha256=sha256)
    return StoredRemovals(Removals(*row[:3]), Removals(*row[3:6]), bool(row[6])) if row else StoredRemovals()


def add(tx: Tx, batch_id: int, sha256: str, removals: Removals) -> None:
    """Adds to what was removed. The row stays locked until the transaction ends."""
    _sql.add(tx.connection, batch_id=batch_id, sha256=sha256, **removals.as_dict())


def expect(tx: Tx, batch_id: int, sha256: str, removals: Removals, *, is_held: bool = False) -> None:
    """Replaces what is expected."""
    _sql.expect(tx.connection, batch_id=batch_id, sha256=sha256, is_held=is_held, **removals.as_dict())


def count_live_files(tx: Tx, batch_id: int, limit: int) -> int:
    """How many live files the assets of undecided items have, counted up to a limit: no update drops more."""
    limit = max(0, limit)
    return int(_sql.count_live_files(tx.connection, batch_id=batch_id, decisions=OPEN, limit=limit))


def end_hold(tx: Tx, batch_id: int) -> None:
    _sql.end_hold(tx.connection, batch_id=batch_id)

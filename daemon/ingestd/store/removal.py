"""ingest_batch_removal rows: what a batch takes out of sight, so far and as expected of its present manifest."""

from collections.abc import Sequence
from typing import Any

from ingestd.model import OPEN
from ingestd.removal_counts import Removals, StoredRemovals
from ingestd.store import library
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids

_sql = Queries("removal")


def find(tx: Tx, batch_id: int, sha256: str | None) -> StoredRemovals:
    """The counts of a batch; nothing more is expected of a manifest that was not planned."""
    return _stored(_sql.find(tx.connection, batch_id=batch_id, sha256=sha256))


def lock(tx: Tx, batch_id: int, sha256: str | None) -> StoredRemovals:
    """The counts of a batch, with their row locked until the transaction ends."""
    return _stored(_sql.lock(tx.connection, batch_id=batch_id, sha256=sha256))


def _stored(row: tuple[Any, ...] | None) -> StoredRemovals:
    if row is None:
        return StoredRemovals()
    return StoredRemovals(Removals(*row[:3]), Removals(*row[3:6]), Removals(*row[6:9]), row[9], bool(row[10]))


def add(tx: Tx, batch_id: int, sha256: str, removals: Removals, *, approved: bool) -> None:
    """Adds to what was removed."""
    count = removals.total if approved else 0
    _sql.add(tx.connection, batch_id=batch_id, sha256=sha256, approved=count, **removals.as_dict())


def recount(tx: Tx, batch_id: int, removed: Removals, approved: int) -> None:
    """Replaces what was removed."""
    _sql.recount(tx.connection, batch_id=batch_id, approved=approved, **removed.as_dict())


def expect(tx: Tx, batch_id: int, sha256: str, removals: Removals) -> None:
    """Replaces what is expected."""
    _sql.expect(tx.connection, batch_id=batch_id, sha256=sha256, **removals.as_dict())


def hold(tx: Tx, batch_id: int) -> None:
    """Records that what is expected was refused."""
    _sql.hold(tx.connection, batch_id=batch_id)


def end_hold(tx: Tx, batch_id: int) -> None:
    _sql.end_hold(tx.connection, batch_id=batch_id)


def approve(tx: Tx, batch_id: int) -> None:
    """Approves what was removed so far."""
    _sql.approve(tx.connection, batch_id=batch_id)


def discard_plan(tx: Tx, batch_id: int) -> None:
    _sql.discard_plan(tx.connection, batch_id=batch_id)


def count_live_files(tx: Tx, batch_id: int, limit: int) -> int:
    """How many live files the live assets of undecided items have, counted up to a limit: no update drops more."""
    limit = max(0, limit)
    return int(_sql.count_live_files(tx.connection, batch_id=batch_id, decisions=OPEN, limit=limit))


def count_covers_of_removed(tx: Tx, batch_id: int, removed_again: Sequence[int]) -> int:
    """How many covers a plan removes whose assets it removes, too; `removed_again`: items that failed before."""
    ids = Ids((0, *removed_again))
    return int(_sql.count_covers_of_removed(tx.connection, batch_id=batch_id, removed_again=ids))


def out_of_sight(tx: Tx, batch_id: int) -> Removals:
    """The rows that are out of sight now, of all that a batch can have removed."""
    assets, files = _sql.out_of_sight(tx.connection, batch_id=batch_id)
    return Removals(assets, files, library.count_members_out_of_sight(tx, batch_id))

"""How a batch stands when its import begins: read at once, and its row stays locked until the transaction ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from ingestd.model import SUCCEEDED, Version
from ingestd.records import Batch
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Ids
from ingestd.store.versions import generations

_sql = Queries("version")
_batch = RowReader(Batch)
_COLUMNS = len(fields(Batch))


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch, and its version, if it has one; the revision of the order of its time, and both at its last import.

    `imported` is (completed_at, generation, revision); its generation is None before the first import. `now` is the
    time of the database. `has_rows`: items, containers or removals are recorded of it. `has_successors`: jobs wait for
    its job; none begins to while the row is locked, unless its manifest changes. `is_staged`: its items are in step
    with its manifest: there is a row for each entry, at its place.
    """

    known: Batch
    version: Version | None
    revision: int
    imported: tuple[datetime | None, int | None, int | None]
    now: datetime
    has_rows: bool
    has_successors: bool
    is_staged: bool

    @property
    def has_moved(self) -> bool:
        """Whether the version, or the revision, was another one when its last import began."""
        before, version = self.imported, self.version
        assert version is not None, "what is imported has a version"
        return before[1] is not None and before != (version.completed_at, version.generation, self.revision)


def lock(tx: Tx, batch_id: int) -> Standing:
    (stands,) = _standings(tx, [batch_id])
    return stands


def lock_all(tx: Tx, batch_ids: Sequence[int], others: Sequence[int] = ()) -> dict[int, Standing]:
    """As `lock`, for several batches, and for those of `others` that no other transaction holds; by id."""
    # First all rows: a statement that waits for one of them would see the rest as it was before.
    list(_sql.lock_batches(tx.connection, ids=Ids(batch_ids)))
    free = [row[0] for row in _sql.lock_free_batches(tx.connection, ids=Ids(others))] if others else []
    return {one.known.id: one for one in _standings(tx, [*batch_ids, *free])}


def _standings(tx: Tx, batch_ids: Sequence[int]) -> list[Standing]:
    rows = [(_batch(row[:_COLUMNS]), row[_COLUMNS:]) for row in _sql.lock_standings(tx.connection, ids=Ids(batch_ids))]
    # Generations are counted after the revisions were read: so a change between both is not missed.
    linked = [known.sync_id for known, (version_at, *_) in rows if version_at and known.prior_sync_id]
    following = generations(tx, linked)
    return [_standing(known, more, following) for known, more in rows]


def _standing(known: Batch, more: tuple[Any, ...], following: Mapping[str, int]) -> Standing:
    version_at, *imported, now, revision, has_rows, has_successors, is_staged = more
    version = Version(version_at, known.sync_id, following.get(known.sync_id, 0)) if version_at else None
    imported_at, generation, imported_revision = imported
    last = (imported_at, generation, imported_revision)
    flags = (bool(has_rows), bool(has_successors), bool(is_staged))
    return Standing(known, version, int(revision), last, now, *flags)


def undecided(tx: Tx, batch_id: int, limit: int) -> list[int]:
    """The places of listed items that did not succeed, and of all covers: what counts of these may have changed."""
    succeeded = tuple(decision.value for decision in SUCCEEDED)
    return [place for (place,) in _sql.undecided(tx.connection, batch_id=batch_id, succeeded=succeeded, limit=limit)]


def note_staged(tx: Tx, batch_id: int) -> None:
    """Records that the rows of a batch are in step with its present manifest."""
    _sql.note_staged(tx.connection, batch_id=batch_id)

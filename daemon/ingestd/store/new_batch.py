"""Batches that never had a job, several at a time: each statement is about all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Ids

_sql = Queries("batch")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that never had a job, and the one that it follows, if that is recorded.

    `is_prior_active`: that one has an active job. `is_followed`: it is followed by one that has an active job.
    """

    id: int
    manifest_sha256: str | None
    item_count: int
    prior_id: int | None
    prior: str | None
    is_prior_active: bool
    is_followed: bool


_new_batch = RowReader(NewBatch)


def without_job(tx: Tx, sync_ids: Iterable[str]) -> dict[str, NewBatch]:
    """Those of some batches that never had a job, by sync_id."""
    wanted = tuple(sync_ids)
    rows = _sql.without_job(tx.connection, sync_ids=wanted) if wanted else ()
    return {sync_id: _new_batch(columns) for sync_id, *columns in rows}


def lock_for_a_while(tx: Tx, ids: Sequence[int]) -> None:
    """Locks some batches. Raises DatabaseContention if others hold them for more than a second."""
    list(_sql.lock_for_a_while(tx.connection, ids=Ids(ids)))


def queue_all(tx: Tx, ids: Sequence[int]) -> None:
    """As `batch.queue`, for new jobs of all items."""
    _sql.queue_all(tx.connection, ids=Ids(ids))

"""Jobs that wait for those of other batches."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ingestd.store.db import Tx
from ingestd.store.job import Claimable
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Ids

_sql = Queries("job")
_claimable = RowReader(Claimable)


class Place(NamedTuple):
    """A place in the order of claims."""

    priority: int
    id: int


FIRST = Place(-(2**31), 0)
"""ahead of all jobs"""


class WaitingJob(NamedTuple):
    """A job that waits. `is_free`: its batch follows none that has an active job and may be older.

    `is_of_equal_time`: it follows one of the same time, perhaps in a circle. `is_last`: the next look begins after it.
    """

    place: Place
    is_free: bool
    is_of_equal_time: bool
    is_last: bool


class Waiting(NamedTuple):
    """A waiting job as a claim would find it, the batch that it waits for, and who requested it."""

    job: Claimable
    prior_id: int
    requested_by: str | None

    @property
    def place(self) -> Place:
        return Place(self.job.priority, self.job.id)


def of_bundles(tx: Tx, sync_ids: Sequence[str]) -> list[Waiting]:
    """The waiting jobs of some bundles that are recorded, in the order of claims."""
    return _waiting(_sql.waiting_of(tx.connection, sync_ids=tuple(sync_ids)))


def of_priors(tx: Tx, batch_ids: Sequence[int], limit: int) -> list[Waiting]:
    """The first jobs that wait for some batches, in the order of claims."""
    return _waiting(_sql.waiting_for(tx.connection, batch_ids=Ids(batch_ids), limit=limit))


def _waiting(rows: Iterable[tuple[Any, ...]]) -> list[Waiting]:
    return [Waiting(_claimable(columns), prior_id, by) for *columns, prior_id, by in rows]


def successors(tx: Tx, batch_id: int, limit: int, *, lock: bool = False) -> list[int]:
    """The first waiting jobs, in the order of claims, of batches that name a batch as their prior.

    `lock`: they stay locked until the transaction ends; those that others hold are left out.
    """
    query = _sql.lock_waiting_successors if lock else _sql.waiting_successors
    return [row[0] for row in query(tx.connection, batch_id=batch_id, limit=limit)]


def lock_queued_for_a_while(tx: Tx, batch_ids: Sequence[int]) -> None:
    """Locks the queued jobs of some batches. Raises DatabaseContention if others hold them for more than a second."""
    list(_sql.lock_queued_for_a_while(tx.connection, batch_ids=Ids(batch_ids)))


def left(tx: Tx, batch_ids: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Jobs that wait for some batches although these have no active job: batch id and job id."""
    return list(_sql.left_waiting(tx.connection, batch_ids=Ids(batch_ids), limit=limit))


def following(tx: Tx, after: Place, limit: int) -> list[WaitingJob]:
    """Of so many waiting jobs in the order of claims: the free ones, those of equal time, and the last."""
    rows = _sql.next_waiting(tx.connection, priority=after.priority, after=after.id, limit=limit)
    return [
        WaitingJob(Place(priority, id_), is_equal is None, bool(is_equal), bool(is_last))
        for priority, id_, is_equal, is_last in rows
    ]

"""Several jobs that one worker takes up together, and their batches: each statement is about all of them."""

from collections.abc import Sequence
from typing import NamedTuple

from ingestd.errors import DatabaseContention, LeaseLost
from ingestd.model import Lease, Patience
from ingestd.store.db import Tx
from ingestd.store.job import Claimable
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Ids, rows_json

_sql, _batches = Queries("job"), Queries("batch")
_claimable = RowReader(Claimable)


class Ended(NamedTuple):
    """A job that imported all items of its batch, and the digest of the manifest that it read."""

    lease: Lease
    items: int
    sha256: str


def next_queued(tx: Tx, limit: int, without: Sequence[int] = ()) -> list[Claimable]:
    """The next jobs but those in `without`, as they are now: other workers may be claiming some of them."""
    return _claimable.all(_sql.next_some_queued(tx.connection, job_ids=Ids((0, *without)), limit=limit))


def lock(tx: Tx, ids: Sequence[int]) -> list[Claimable]:
    """Those of some jobs that are queued and that no other worker is claiming, locked until the transaction ends."""
    return _claimable.all(_sql.lock_queued(tx.connection, job_ids=Ids(ids)))


def claim(tx: Tx, ids: Sequence[int], worker_id: str, instance: str, patience: Patience) -> None:
    """Claims jobs that are locked. Raises DatabaseContention if one is not queued any more."""
    values = {"job_ids": Ids(ids), "worker_id": worker_id, "instance": instance}
    if _sql.claim_all(tx.connection, **values, **patience.microseconds()) != len(ids):
        raise DatabaseContention("one of the jobs is not queued any more")


def claim_waiting(tx: Tx, ids: Sequence[int], worker_id: str, instance: str, patience: Patience) -> None:
    """Claims jobs that waited until now. Raises DatabaseContention if one does not wait any more."""
    values = {"job_ids": Ids(ids), "worker_id": worker_id, "instance": instance}
    if _sql.claim_waiting(tx.connection, **values, **patience.microseconds()) != len(ids):
        raise DatabaseContention("one of the jobs does not wait any more")


def finish_batches(tx: Tx, orders: Sequence[tuple[int, int, int]]) -> None:
    """As `batch.finish_first`, where all was imported of batches: (id, generation, revision of its time)."""
    (rows,) = rows_json(orders)
    _batches.finish_first_all(tx.connection, rows=rows)


def finish(tx: Tx, ended: Sequence[Ended]) -> None:
    """Ends jobs as done. Raises LeaseLost when one of them is no longer its worker's."""
    (rows,) = rows_json([(one.lease.job_id, one.lease.token, one.items, one.sha256) for one in ended])
    if _sql.finish_all(tx.connection, rows=rows) != len(ended):
        raise LeaseLost("one of the jobs was taken from its worker")

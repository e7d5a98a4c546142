"""Queues new batches, many in one transaction: those that follow no other, and that no active job follows."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

from ingestd.errors import DatabaseContention, DataRefused
from ingestd.model import DAEMON
from ingestd.pipeline import ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, job, ledger
from ingestd.store.attempts import never
from ingestd.store.db import Tx

MAX_TOGETHER = 100


def parts(context: Context, sync_ids: Sequence[str]) -> Iterator[list[str]]:
    """Batches in this order, in parts: of several that concern no other, or of one."""
    plain = context.db.read(lambda tx: batch.plain_new(tx, sync_ids))
    for is_plain, run in groupby(sync_ids, key=plain.__contains__):
        run_of = iter(run)
        while part := list(islice(run_of, MAX_TOGETHER if is_plain else 1)):
            yield part


def queue(context: Context, part: Sequence[str]) -> set[str]:
    """Queues the batches of a part together, in this order; returns those that were queued.

    The others are held by another client, have had a job by now, or have to be tried one by one.
    """
    priority = context.settings.queue.priority
    if len(part) < 2:
        return set()
    try:
        # Rows that others hold are left out. Not as `transaction_at_once`: SKIP LOCKED fails where no wait is allowed.
        return context.db.transaction(lambda tx: _queue(tx, part, priority), keep_waiting=never)
    except (DatabaseContention, DataRefused):  # perhaps because of one of them
        return set()


def _queue(tx: Tx, sync_ids: Sequence[str], priority: int) -> set[str]:
    found = batch.plain_new(tx, batch.free(tx, sync_ids))
    in_order = [found[sync_id] for sync_id in sync_ids if sync_id in found]
    if not in_order:
        return set()
    job_ids = job.insert_all(tx, in_order, priority=priority, requested_by=DAEMON)
    batch.queue_all(tx, list(job_ids))
    events = [
        (batch_id, *ordering.job_event("job_queued", job_id, priority, DAEMON)) for batch_id, job_id in job_ids.items()
    ]
    ledger.append_rows(tx, events)
    return set(found)

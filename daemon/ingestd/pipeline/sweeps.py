"""Sweeps over state: they queue new batches, promote waiting jobs and revive deferred items.

They look at rows, not at events, so that a crash between two stages loses nothing.
"""

from collections.abc import Callable
from functools import partial

import structlog

from ingestd.errors import IngestdError
from ingestd.model import BatchStatus, Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, append_job_event, insert
from ingestd.store import batch, job
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_SWEEP = 500
SWEEP_INTERVAL = 5.0
DAEMON = "ingestd"
"""requested_by of the jobs that a sweep queues"""


class Sweeper:
    """Finds what should be queued and is not: new content, waiting jobs whose turn has come, revivable batches.

    `enqueue_new` and `promote_and_revive` are each the step of a service; they return the seconds until the next one.
    """

    def __init__(self, context: Context, on_queued: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._on_queued = on_queued

    def enqueue_new(self) -> float:
        return self._after(self.queue_new())

    def promote_and_revive(self) -> float:
        return self._after(self.promote() + self.revive())

    def _after(self, found: int) -> float:
        if found:
            self._on_queued()
        return 0.0 if found >= MAX_SWEEP else SWEEP_INTERVAL

    def queue_new(self) -> int:
        """Queues batches with an automatic action whose present content never had a job."""
        actions = self._context.settings.queue.auto
        if not actions:
            return 0
        sync_ids = self._context.db.read(lambda tx: batch.never_queued(tx, actions, MAX_SWEEP))
        return sum(self._insert(sync_id, Scope.ALL) for sync_id in sync_ids)

    def promote(self) -> int:
        """Queues waiting jobs whose prior batch has no earlier active job left."""
        job_ids = self._context.db.read(lambda tx: job.promotable(tx, MAX_SWEEP))
        return sum(self._context.db.transaction(partial(_promote, job_id=job_id)) for job_id in job_ids)

    def revive(self) -> int:
        """Queues batches with deferred items whose missing asset is live now."""
        interval = self._context.settings.queue.revive_interval
        sync_ids = self._context.db.read(lambda tx: batch.revivable(tx, interval, MAX_SWEEP))
        return sum(self._insert(sync_id, Scope.REVIVAL) for sync_id in sync_ids)

    def _insert(self, sync_id: str, scope: Scope) -> int:
        request = QueueRequest(sync_id, DAEMON, scope=scope)
        try:
            return self._context.db.transaction(lambda tx: _insert_if_idle(tx, self._context, request))
        except IngestdError as error:
            log.warning("sweep_failed", sync_id=sync_id, error=str(error))
            raise


def _insert_if_idle(tx: Tx, context: Context, request: QueueRequest) -> int:
    """Queues a batch that a sweep found, unless it was queued meanwhile."""
    batch.lock_with_prior(tx, request.sync_id)
    known = batch.lock(tx, request.sync_id)
    if known is None or known.status is BatchStatus.INVALID or job.active(tx, known.id):
        return 0
    if request.scope is Scope.REVIVAL:
        batch.note_revival(tx, known.id)
    insert(tx, context, known, request)
    return 1


def _promote(tx: Tx, job_id: int) -> int:
    if not job.promote(tx, job_id):
        return 0
    promoted = job.find(tx, job_id)
    assert promoted is not None
    append_job_event(tx, "job_promoted", promoted.batch_id, job_id, promoted.priority, promoted.requested_by)
    return 1

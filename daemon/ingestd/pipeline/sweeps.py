"""Sweeps over state: they queue new batches, promote waiting jobs, retry failed batches and revive deferred items.

They look at rows, not at events, so that a crash between two stages loses nothing.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

import structlog

from ingestd.backoff import backoff
from ingestd.errors import DatabaseContention, IngestdError, Unavailable
from ingestd.model import DAEMON, BatchStatus, JobState, Scope
from ingestd.pipeline import new_batches, ordering, placing
from ingestd.pipeline.context import Context
from ingestd.pipeline.ordering import oldest_first
from ingestd.pipeline.promotions import Promotions
from ingestd.pipeline.queueing import QueueRequest, insert
from ingestd.pipeline.revivals import Revivals
from ingestd.records import Batch, Job
from ingestd.store import batch, due, job, versions
from ingestd.store.db import Tx
from ingestd.store.versions import Order

log = structlog.get_logger()

MAX_SWEEP = 500
MAX_PLACED = 1000
"""new batches that a sweep looks at and locks meanwhile; the next sweep goes on after them"""
MAX_LOCKED_SECONDS = 1.0
"""What takes longer than that to find locked is not a row."""
SWEEP_INTERVAL, FIRST_HELD_PAUSE = 5.0, 0.05
"""seconds between sweeps; until new batches that others held are looked at again, doubled each time"""
IsDue = Callable[[Tx, Batch, Job | None], bool]
"""whether a locked batch, whose newest job has ended, should still be queued"""
NOT_QUEUED = (BatchStatus.INVALID, BatchStatus.HELD)
"""statuses of batches that no sweep queues"""


class Sweeper:
    """Finds what should be queued and is not: new content, waiting jobs whose turn has come, batches to try again.

    `enqueue_new` and `promote_and_requeue` are each the step of a service; they return the seconds until the next one.
    """

    def __init__(self, context: Context, on_queued: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._on_queued = on_queued
        self._promotions, self._revivals = Promotions(context), Revivals(context)
        self._placed_up_to = 0
        self._held_pauses = backoff(FIRST_HELD_PAUSE, SWEEP_INTERVAL)

    def enqueue_new(self) -> float:
        queued, left = self._queue_new()
        delay = self._after(queued)
        if queued or not left:
            self._held_pauses = backoff(FIRST_HELD_PAUSE, SWEEP_INTERVAL)
        return min(delay, next(self._held_pauses)) if left else delay

    def promote_and_requeue(self) -> float:
        self._revivals.go_round()
        look = self._context.db.read(due.look)
        found = self.place() if look.may_place else 0
        found += self.promote() if look.is_noted or look.is_waiting else 0
        found += self.retry() if look.may_retry else 0
        found += self.revive() if look.is_noted else 0
        return self._after(found)

    def _after(self, found: int) -> float:
        if found:
            self._on_queued()
        return 0.0 if found >= MAX_SWEEP else SWEEP_INTERVAL

    def queue_new(self) -> int:
        """Queues batches with an automatic action whose present content never had a job."""
        queued, _ = self._queue_new()
        return queued

    def _queue_new(self) -> tuple[int, int]:
        """How many were queued, and how many were not: mostly because others held them for a moment."""
        actions = self._context.settings.queue.auto
        if not actions:
            return 0, 0
        found = self._context.db.read(lambda tx: due.never_queued(tx, actions, MAX_SWEEP))
        in_order = [found[place] for place in oldest_first(self._context, found)]
        queued = sum(map(self._queue_part, new_batches.parts(self._context, in_order)))
        return queued, len(found) - queued

    def _queue_part(self, part: list[str]) -> int:
        queued, held = new_batches.queue(self._context, part)
        requests = (QueueRequest(sync_id, DAEMON) for sync_id in part if sync_id not in queued | held)
        return len(queued) + self._insert_all(requests, _is_new)

    def promote(self) -> int:
        """Queues waiting jobs whose prior batch has no active job left, and some of those that wait in a circle."""
        job_ids = dict.fromkeys(self._promotions.due())
        due_now = (job_id for job_id in job_ids if self._is_done(partial(ordering.promote, job_id=job_id)))
        return len(list(islice(due_now, MAX_SWEEP)))

    def place(self) -> int:
        """Queues imported batches again whose order among others has become another one by what arrived since.

        Claims leave out jobs whose batches are locked: so they are tried again at once.
        """
        look = partial(placing.place, after=self._placed_up_to, limit=MAX_PLACED)
        locked, self._placed_up_to, moved = self._context.db.transaction(look)
        if locked:
            self._on_queued()
        moved |= self._context.db.transaction(partial(placing.place_times, limit=MAX_PLACED))
        requests = (QueueRequest(sync_id, DAEMON, scope=Scope.REIMPORT) for sync_id in sorted(moved))
        return self._insert_all(requests, partial(_is_moved, moved))

    def retry(self) -> int:
        """Queues batches whose last run failed as a whole, after a pause that grows with each failure."""
        due = self._context.db.read(lambda tx: batch.retryable(tx, MAX_SWEEP))
        requests = (QueueRequest(sync_id, DAEMON, priority, scope=scope) for sync_id, scope, priority in due)
        return self._insert_all(requests, lambda _tx, known, _newest: known.retry_at is not None)

    def revive(self) -> int:
        """Queues batches with deferred items whose missing asset is live now."""
        noted = self._revivals.due()
        requests = (QueueRequest(sync_id, DAEMON, scope=Scope.REVIVAL) for sync_id in noted)
        return self._insert_all(requests, partial(_is_revived, noted, self._context.settings.queue.revive_interval))

    def _insert_all(self, requests: Iterable[QueueRequest], is_due: IsDue) -> int:
        """Queues batches one by one. A batch that cannot be queued, or is locked, must not delay those behind it."""
        return sum(self._insert(request, is_due) for request in requests)

    def _insert(self, request: QueueRequest, is_due: IsDue) -> int:
        work = partial(_insert_if_idle, context=self._context, request=request, is_due=is_due)
        try:
            return int(self._is_done(work))
        except IngestdError as error:
            log.warning("sweep_failed", sync_id=request.sync_id, error=str(error))
            if isinstance(error, Unavailable):
                raise
            return 0

    def _is_done(self, work: Callable[[Tx], bool]) -> bool:
        """Whether a transaction did something. Rows that others hold are left for the next sweep.

        Locked tables cannot be left out at once. Then the sweep ends, as in an outage.
        """
        began = time.monotonic()
        try:
            return self._context.db.transaction_at_once(work)
        except DatabaseContention as error:
            if time.monotonic() - began > MAX_LOCKED_SECONDS:
                raise
            log.debug("left_locked", reason=str(error))
            return False


def _is_new(_tx: Tx, known: Batch, newest: Job | None) -> bool:
    """Whether a batch with new content is still new: it was neither imported nor cancelled meanwhile."""
    is_cancelled = newest is not None and newest.state is JobState.CANCELLED
    return known.status in (BatchStatus.NEW, BatchStatus.READY) and not is_cancelled


def _insert_if_idle(tx: Tx, context: Context, request: QueueRequest, is_due: IsDue) -> bool:
    """Queues a batch that a sweep found, unless a person or another host did something about it meanwhile."""
    batch.lock_with_prior(tx, request.sync_id)
    known = batch.lock(tx, request.sync_id)
    if known is None or known.status in NOT_QUEUED:
        return False
    newest = job.newest(tx, known.id)
    if (newest is not None and newest.is_active) or not is_due(tx, known, newest):
        return False
    insert(tx, context, known, request)
    return True


def _is_moved(moved: dict[str, Order], tx: Tx, known: Batch, _newest: Job | None) -> bool:
    """Whether a batch was not imported since it was found with this order, and may still be queued."""
    order = versions.imported_order(tx, known.id)
    return order is not None and order == moved[known.sync_id]


def _is_revived(noted: dict[str, list[int]], interval: float, tx: Tx, known: Batch, _newest: Job | None) -> bool:
    """Whether no other host revived a batch meanwhile. Then what was noted about it is done."""
    may_go = batch.note_revival(tx, known.id, interval)
    if may_go:
        due.forget(tx, noted[known.sync_id])
    return may_go

"""Makes, re-prioritises and cancels jobs; pauses the queue; and sweeps for what no crash may forget.

The sweeps look at state, not at events: whatever should have been queued, promoted or revived is found again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ingestd.errors import IngestdError, NotEligible, NotFound, RemovalRefused
from ingestd.model import Batch, BatchStatus, Job, JobState, Scope
from ingestd.pipeline import delivery, status
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.store import batch, item, job, ledger
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_SWEEP = 500
SWEEP_INTERVAL = 5.0
DAEMON = "ingestd"
PHASES = {
    "job_queued": "job_queue",
    "job_promoted": "job_promote",
    "job_reprioritised": "job_reprioritise",
    "job_cancelled": "job_cancel",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks of the queue. `priority` None: the configured default, or unchanged for an active job."""

    sync_id: str
    requested_by: str
    priority: int | None = None
    force: bool = False
    scope: Scope = Scope.ALL


@dataclass(frozen=True, slots=True)
class Queued:
    """The job of a request; `is_new` False: it was active already."""

    job: Job
    is_new: bool


def queue(context: Context, request: Request) -> Queued:
    """Queues a batch for import: reads its manifest again, plans it if that was not done for this digest.

    Raises NotFound, NotEligible (and why), RemovalRefused, MountUnavailable.
    """
    known = _find(context, request.sync_id)
    if context.db.read(lambda tx: job.active(tx, known.id)) is None:
        preflight_if_needed(context, known)
    return context.db.transaction(lambda tx: _queue(tx, context, request))


def preflight_if_needed(context: Context, known: Batch) -> None:
    """Plans a batch for what is delivered under its name now."""
    delivered = delivery.read(context, known.sync_id)
    if delivered.sha256 != known.plan_sha256:
        preflight(context, known.sync_id)


def _queue(tx: Tx, context: Context, request: Request) -> Queued:
    batch.lock_with_prior(tx, request.sync_id)
    known = batch.lock(tx, request.sync_id)
    if known is None:
        raise NotFound(f"there is no batch {request.sync_id}")
    active = job.active(tx, known.id)
    if active is not None:
        return Queued(_reprioritise(tx, known, active, request), is_new=False)
    if known.status is BatchStatus.INVALID:
        raise NotEligible(f"batch {request.sync_id} is invalid: {known.last_error}")
    known = _prepare(tx, context, known, request)
    return Queued(insert(tx, context, known, request), is_new=True)


def _prepare(tx: Tx, context: Context, known: Batch, request: Request) -> Batch:
    """What must hold, and be done, before a job of this request makes sense."""
    if request.force:
        batch.set_force(tx, known.id)
        known = replace(known, force_sha256=known.manifest_sha256)
    try:
        status.check_removals(context, tx, known)
    except RemovalRefused as refusal:
        raise _UnrecordedRefusal(known, str(refusal)) from None
    if request.scope is Scope.REIMPORT:
        item.reset(tx, known.id)
    elif request.scope in (Scope.FAILED, Scope.DEFERRED) and not item.tally(tx, known.id)[request.scope.value]:
        raise NotEligible(f"batch {known.sync_id} has no {request.scope.value} items")
    return known


class _UnrecordedRefusal(RemovalRefused):
    """A refusal that is yet to be told to the ledger, in a transaction that is not rolled back with it."""

    def __init__(self, known: Batch, reason: str) -> None:
        super().__init__(reason)
        self.batch_id, self.reason = known.id, reason


def queue_and_notify(context: Context, request: Request, on_queued: Callable[[], None] = lambda: None) -> Queued:
    """As `queue`; a refusal goes into the ledger, and whoever claims is woken."""
    try:
        result = queue(context, request)
    except _UnrecordedRefusal as refusal:
        payload = {"phase": "queue", "requested_by": request.requested_by, "reason": refusal.reason}
        batch_id = refusal.batch_id
        context.db.transaction(lambda tx: ledger.append(tx, batch_id, "removal_refused", **payload))
        raise
    on_queued()
    return result


def insert(tx: Tx, context: Context, known: Batch, request: Request) -> Job:
    """A new job for a batch that is locked and has no active one; it waits for the batch that this one follows."""
    state = JobState.WAITING if job.prior_is_active(tx, known.id) else JobState.QUEUED
    priority = context.settings.queue.priority if request.priority is None else request.priority
    job_id = job.insert(
        tx,
        known.id,
        state=state,
        priority=priority,
        scope=Scope.ALL if request.scope is Scope.REIMPORT else request.scope,
        manifest_sha256=known.manifest_sha256,
        requested_by=request.requested_by,
        items_total=known.item_count,
    )
    batch.set_status(tx, known.id, BatchStatus.QUEUED)
    _append_job_event(tx, "job_queued", known.id, job_id, priority, request.requested_by)
    made = job.find(tx, job_id)
    assert made is not None
    return made


def _reprioritise(tx: Tx, known: Batch, active: Job, request: Request) -> Job:
    priority = request.priority
    if priority is None or priority == active.priority or not job.reprioritise(tx, active.id, priority):
        return active
    _append_job_event(tx, "job_reprioritised", known.id, active.id, priority, request.requested_by)
    return replace(active, priority=priority)


def cancel(context: Context, sync_id: str, requested_by: str) -> Job:
    """Cancels the waiting or queued job of a batch. Raises NotFound, NotEligible."""

    def work(tx: Tx) -> Job:
        known = batch.lock(tx, sync_id)
        if known is None:
            raise NotFound(f"there is no batch {sync_id}")
        active = job.active(tx, known.id)
        if active is None:
            raise NotEligible(f"batch {sync_id} has no job to cancel")
        if not job.cancel(tx, active.id):
            raise NotEligible(f"job {active.id} is running; only stopping the service stops it")
        _append_job_event(tx, "job_cancelled", known.id, active.id, active.priority, requested_by)
        status.refresh(tx, known.id)
        return replace(active, state=JobState.CANCELLED)

    return context.db.transaction(work)


def pause(context: Context, requested_by: str, reason: str | None) -> bool:
    """Stops claiming on every host; False if it was stopped already."""

    def work(tx: Tx) -> bool:
        changed = job.pause(tx, requested_by, reason)
        if changed:
            ledger.append(tx, None, "queue_paused", phase="queue", requested_by=requested_by, reason=reason)
        return changed

    return context.db.transaction(work)


def resume(context: Context, requested_by: str) -> bool:
    """Lets claiming go on; False if it was not stopped."""

    def work(tx: Tx) -> bool:
        changed = job.resume(tx)
        if changed:
            ledger.append(tx, None, "queue_resumed", phase="queue", requested_by=requested_by, reason=None)
        return changed

    return context.db.transaction(work)


class Sweeper:
    """Finds what should be in the queue and is not: new content, waiting jobs whose turn has come, revivals.

    `sweep_new` and `sweep_followers` are each a service's step; they return the seconds until the next round.
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
        """Queues waiting jobs whose batch follows none that is still under way."""
        job_ids = self._context.db.read(lambda tx: job.promotable(tx, MAX_SWEEP))
        return sum(self._context.db.transaction(partial(_promote, job_id=job_id)) for job_id in job_ids)

    def revive(self) -> int:
        """Queues batches for what they had to defer, as soon as the asset it waited for is live."""
        interval = self._context.settings.queue.revive_interval
        sync_ids = self._context.db.read(lambda tx: batch.revivable(tx, interval, MAX_SWEEP))
        return sum(self._insert(sync_id, Scope.REVIVAL) for sync_id in sync_ids)

    def _insert(self, sync_id: str, scope: Scope) -> int:
        request = Request(sync_id, DAEMON, scope=scope)
        try:
            return self._context.db.transaction(lambda tx: _insert_unasked(tx, self._context, request))
        except IngestdError as error:
            log.warning("sweep_failed", sync_id=sync_id, error=str(error))
            raise


def _insert_unasked(tx: Tx, context: Context, request: Request) -> int:
    """Queues a batch that a sweep found, unless somebody else just did."""
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
    _append_job_event(tx, "job_promoted", promoted.batch_id, job_id, promoted.priority, promoted.requested_by)
    return 1


def _append_job_event(
    tx: Tx, event_type: str, batch_id: int, job_id: int, priority: int, requested_by: str | None
) -> None:
    payload = {"job_id": job_id, "priority": priority, "requested_by": requested_by}
    ledger.append(tx, batch_id, event_type, phase=PHASES[event_type], **payload)


def _find(context: Context, sync_id: str) -> Batch:
    known = context.db.read(lambda tx: batch.find(tx, sync_id))
    if known is None:
        raise NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount")
    return known

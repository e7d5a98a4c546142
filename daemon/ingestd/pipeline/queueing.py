"""Queues and re-prioritises jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from ingestd.errors import NotEligible, NotFound, RemovalRefused, no_batch
from ingestd.model import DAEMON, BatchStatus, JobState, Scope
from ingestd.pipeline import removals, scopes
from ingestd.pipeline.cancelling import require_active
from ingestd.pipeline.context import Context
from ingestd.pipeline.ordering import append_job_event, hold_back_successors, must_wait
from ingestd.pipeline.preflight import preflight, read
from ingestd.records import Batch, Job
from ingestd.store import batch, job, removal
from ingestd.store.db import Tx

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QueueRequest:
    """A request to queue a batch. `priority` None: the configured default, or unchanged if it is queued already.

    `force` approves the manifest with the digest `reviewed_sha256`, and `max_removals` rows at most; None: the one that
    was recorded when the request came, and as many as its plan had then. `job_id`: the request only changes this job.
    """

    sync_id: str
    requested_by: str
    priority: int | None = None
    force: bool = False
    scope: Scope = Scope.ALL
    reviewed_sha256: str | None = None
    max_removals: int | None = None
    job_id: int | None = None
    names_count: bool = False
    """whether the person named `max_removals`, and not the plan"""

    @property
    def is_plain(self) -> bool:
        """Whether it names no option, and so asks for the whole batch."""
        return self.scope is Scope.ALL and self.priority is None and not self.force


@dataclass(frozen=True, slots=True)
class Queued:
    """The job of a request; `is_new` is False when it was active already."""

    job: Job
    is_new: bool


def enqueue(
    context: Context,
    request: QueueRequest,
    on_queued: Callable[[], None] = lambda: None,
    plan_up_to: int | None = None,
) -> Queued:
    """Queues a batch for import. Its manifest is read again, and planned if its digest has no plan yet.

    A batch of more than `plan_up_to` items is not planned unless that is needed for an approval or a verdict: its job
    does that. It is read only if the request names its manifest. `on_queued` wakes the workers. Raises NotFound,
    NotEligible, RemovalRefused (recorded in the ledger), ManifestError, MountUnavailable.
    """
    known = _find(context, request.sync_id)
    active, reviewed = context.db.read(lambda tx: (job.active(tx, known.id), _reviewed(tx, request, known)))
    if active is None or active.state is not JobState.RUNNING:
        _prepare(context, known, request, is_left_to_job=active is not None or _is_left_to_job(known, plan_up_to))
    result = context.db.transaction(lambda tx: _enqueue(tx, context, reviewed))
    if isinstance(result, RemovalRefused):
        raise result
    on_queued()
    return result


def _is_left_to_job(known: Batch, plan_up_to: int | None) -> bool:
    """Whether the job of a batch plans it: a large one that need not be approved or found valid before."""
    is_large = plan_up_to is not None and known.item_count > plan_up_to
    return is_large and known.status is not BatchStatus.HELD and not known.is_invalid


def _prepare(context: Context, known: Batch, request: QueueRequest, *, is_left_to_job: bool) -> None:
    """Plans a batch unless its job does. Raises NotEligible if a manifest that its job would read is not the named one.

    An approval records what it allows, so there must be a plan.
    """
    named = request.reviewed_sha256
    if request.force or not is_left_to_job:
        _plan(context, known, request)
    elif named is not None and not read(context, known.sync_id, named).is_unchanged:
        raise _delivered_again(known)


def _plan(context: Context, known: Batch, request: QueueRequest) -> None:
    try:
        preflight_if_needed(context, known, again=request.force)
    except NotEligible:
        # Somebody else may have queued the batch meanwhile, and a worker claimed it: then that job is the answer.
        active = context.db.read(lambda tx: job.active(tx, known.id))
        if active is None or (request.force and active.state is not JobState.RUNNING):
            raise


def _reviewed(tx: Tx, request: QueueRequest, known: Batch) -> QueueRequest:
    """The request with what was there when it came. Only that can be approved."""
    if not request.force:
        return request
    sha256, count = request.reviewed_sha256 or known.manifest_sha256, request.max_removals
    if count is None and sha256 is not None and sha256 == known.plan_sha256:
        count = removal.find(tx, known.id, sha256).expected.total
    is_named = request.max_removals is not None
    return replace(request, reviewed_sha256=sha256, max_removals=count, names_count=is_named)


def preflight_if_needed(context: Context, known: Batch, *, again: bool = False) -> None:
    """Plans a batch unless the manifest that is there now has a plan. A held batch is counted again."""
    planned = known.plan_sha256
    if (
        again
        or planned is None
        or known.status is BatchStatus.HELD
        or not read(context, known.sync_id, planned).is_unchanged
    ):
        preflight(context, known.sync_id)


def _enqueue(tx: Tx, context: Context, request: QueueRequest) -> Queued | RemovalRefused:
    """The job, or a refusal: it is returned, not raised, so that its ledger event is committed."""
    batch.lock_with_prior(tx, request.sync_id)
    known = batch.lock(tx, request.sync_id)
    if known is None:
        raise NotFound(f"there is no batch {request.sync_id}")
    if request.force or request.reviewed_sha256:
        _require_reviewed(known, request.reviewed_sha256)
    active = job.lock_active(tx, known.id)
    if request.job_id is not None:
        require_active(known, active, request.job_id)
    if active is not None:
        return Queued(_amend(tx, known, active, request), is_new=False)
    if known.status is BatchStatus.INVALID:
        raise NotEligible(f"batch {request.sync_id} is invalid: {known.last_error}")
    if request.force:
        removals.approve(tx, known, request.requested_by, request.max_removals)
        known = replace(known, force_sha256=known.manifest_sha256, force_limit=request.max_removals)
    try:
        removals.check(context, tx, known)
    except RemovalRefused as refusal:
        removals.hold(tx, known, refusal, phase="queue", requested_by=request.requested_by)
        return refusal
    scopes.require_items(tx, known, request.scope)
    made = job.find(tx, insert(tx, context, known, request))
    assert made is not None
    return Queued(made, is_new=True)


def _require_reviewed(known: Batch, sha256: str | None) -> None:
    """Raises NotEligible when another manifest took the place of the one that was reviewed."""
    if known.manifest_sha256 != sha256:
        raise _delivered_again(known)


def _delivered_again(known: Batch) -> NotEligible:
    return NotEligible(
        f"batch {known.sync_id} was delivered again meanwhile; review what it changes now with"
        " `ingestd preflight`, then queue it again"
    )


def insert(tx: Tx, context: Context, known: Batch, request: QueueRequest) -> int:
    """Inserts a job for a locked batch without an active one; it waits while the batch named as its prior has one.

    Returns its id.
    """
    state = JobState.WAITING if must_wait(tx, known.id) else JobState.QUEUED
    priority = context.settings.queue.priority if request.priority is None else request.priority
    job_id = job.insert(
        tx,
        known.id,
        state=state,
        priority=priority,
        scope=request.scope,
        manifest_sha256=scopes.taken_digest(known, request.scope),
        requested_by=request.requested_by,
        items_total=known.item_count,
    )
    batch.queue(tx, known.id, takes_all=request.scope.takes_everything)
    append_job_event(tx, "job_queued", known.id, job_id, priority, request.requested_by)
    hold_back_successors(tx, known.sync_id)
    return job_id


def _amend(tx: Tx, known: Batch, active: Job, request: QueueRequest) -> Job:
    """Takes up in a locked active job what a request asks for. Raises NotEligible if the job cannot take it up."""
    changes = _changes(tx, known, active, request)
    if request.force and "force" not in changes:
        removals.require_at_most(tx, known, request.max_removals)
    if active.state is JobState.RUNNING:
        _require_unchanged(known, active, changes)
        return _take_over(tx, active, request)
    scopes.require_items(tx, known, request.scope)
    if "force" in changes:
        removals.approve(tx, known, request.requested_by, request.max_removals)
    if "scope" in changes:
        active = _rescope(tx, known, active, request)
    if "priority" in changes:
        active = _reprioritise(tx, known, active, request)
    return _take_over(tx, active, request)


def _take_over(tx: Tx, active: Job, request: QueueRequest) -> Job:
    """Makes a job that a sweep queued the job of the person who asks for it, so that its retries begin again."""
    if active.requested_by != DAEMON or request.requested_by == DAEMON:
        return active
    job.take_over(tx, active.id, request.requested_by)
    append_job_event(tx, "job_taken_over", active.batch_id, active.id, active.priority, request.requested_by)
    return replace(active, requested_by=request.requested_by)


def _require_unchanged(known: Batch, active: Job, changes: dict[str, str]) -> None:
    if changes:
        raise NotEligible(
            f"job {active.id} of batch {known.sync_id} is running and can no longer take up"
            f" {' or '.join(changes.values())}; queue the batch again when the job has ended"
        )


def _is_allowed(known: Batch, request: QueueRequest) -> bool:
    """Whether what `force` asks for was approved. Only a number that a person named makes an approval smaller."""
    if not removals.is_forced(known) or request.names_count:
        return removals.is_forced(known) and known.force_limit == request.max_removals
    return known.force_limit is None or (request.max_removals is not None and request.max_removals <= known.force_limit)


def _changes(tx: Tx, known: Batch, active: Job, request: QueueRequest) -> dict[str, str]:
    """What a request would change about an active job, in words."""
    changes = {}
    if request.priority not in (None, active.priority):
        changes["priority"] = "a new priority"
    if request.force and not _is_allowed(known, request):
        changes["force"] = "force"
    if scopes.asks_for_others(tx, known, active, request.scope, is_plain=request.is_plain):
        changes["scope"] = scopes.NAMES[request.scope]
    return changes


def _rescope(tx: Tx, known: Batch, active: Job, request: QueueRequest) -> Job:
    """Makes a queued job import more. Raises NotEligible for only some of its items, or for failed besides deferred."""
    queued = f"job {active.id} of batch {known.sync_id} is queued for {scopes.NAMES.get(active.scope)}"
    if {active.scope, request.scope} == {Scope.FAILED, Scope.DEFERRED}:
        advice = "queue the batch without `only` to import all that is left, or cancel the job first"
        raise NotEligible(f"{queued}; {advice}")
    if active.scope.covers(request.scope):
        raise NotEligible(f"{queued}, these among them; to import {scopes.NAMES[request.scope]}, cancel the job first")
    job.rescope(tx, active.id, request.scope, scopes.taken_digest(known, request.scope))
    append_job_event(
        tx, "job_rescoped", known.id, active.id, active.priority, request.requested_by, scope=request.scope.value
    )
    return replace(active, scope=request.scope)


def _reprioritise(tx: Tx, known: Batch, active: Job, request: QueueRequest) -> Job:
    assert request.priority is not None
    job.reprioritise(tx, active.id, request.priority)
    append_job_event(tx, "job_reprioritised", known.id, active.id, request.priority, request.requested_by)
    return replace(active, priority=request.priority)


def _find(context: Context, sync_id: str) -> Batch:
    known = context.db.read(lambda tx: batch.find(tx, sync_id))
    if known is None:
        raise no_batch(sync_id)
    return known

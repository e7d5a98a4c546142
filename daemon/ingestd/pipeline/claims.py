"""Claims queued jobs: one transaction that marks them as running, and records that."""

import time
from collections.abc import Sequence
from functools import partial
from itertools import takewhile

import structlog

from ingestd.model import Lease, Patience, Scope
from ingestd.pipeline import ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, control, job, job_groups, ledger
from ingestd.store.attempts import KeepWaiting
from ingestd.store.db import Tx
from ingestd.store.job import Claimable

log = structlog.get_logger()

GROUPS_SEEN = 4
"""how many times the jobs of a group are looked at: other workers claim some of them at the same time"""


def claim(
    context: Context, worker: str, instance: str, keep_waiting: KeepWaiting = None, without: Sequence[int] = ()
) -> Lease | None:
    """Claims the next queued job for one worker; None when no job is available, or the queue is paused.

    During an outage it waits while `keep_waiting()` is true: a claim that may be committed must not be forgotten.
    """
    leases = claim_group(context, worker, instance, 1, keep_waiting, without)
    return leases[0] if leases else None


def claim_group(
    context: Context,
    worker: str,
    instance: str,
    limit: int,
    keep_waiting: KeepWaiting = None,
    without: Sequence[int] = (),
) -> list[Lease]:
    """As `claim`, or several jobs, up to `limit`: the next ones, if all of them may be imported together."""
    work = partial(_claim, context=context, worker=worker, instance=instance, limit=limit, without=without)
    leases = context.db.transaction(work, keep_waiting=keep_waiting)
    count(context, leases)
    return leases


def count(context: Context, leases: Sequence[Lease]) -> None:
    """Counts claims that were committed."""
    context.instruments.jobs_claimed.inc(len(leases))
    for lease in leases:
        context.instruments.queue_wait.observe(lease.waited)
        log.info("job_claimed", job_id=lease.job_id, worker=lease.worker_id, claim_token=lease.token)


def _claim(tx: Tx, context: Context, worker: str, instance: str, limit: int, without: Sequence[int]) -> list[Lease]:
    if control.is_paused(tx):
        return []
    patience = context.settings.worker.patience
    if limit > 1 and (group := _next_group(tx, context, limit, without)):
        job_groups.claim(tx, [found.id for found in group], worker, instance, patience)
        return _build_leases(tx, group, worker)
    return _claim_first(tx, worker, instance, patience, without)


def _next_group(tx: Tx, context: Context, limit: int, without: Sequence[int]) -> list[Claimable]:
    """The next jobs, if there are several to be imported together. Their order is that of the queue.

    Only these are locked: another worker must be able to claim the one that ends the group. The first ones that are
    seen may be those of other groups.
    """
    seen = job_groups.next_queued(tx, GROUPS_SEEN * limit, without)
    may_join = partial(_may_join, context)
    ids = [found.id for found in takewhile(may_join, seen)]
    for start in range(0, len(ids) if len(ids) > 1 else 0, limit):
        if group := job_groups.lock(tx, ids[start : start + limit]):
            return group if len(group) > 1 and all(map(may_join, group)) else []
    return []


def _may_join(context: Context, found: Claimable) -> bool:
    return not found.has_active_prior and may_be_together(context, found)


def may_be_together(context: Context, found: Claimable) -> bool:
    """Whether the bundle of a job may be imported in one transaction with others, once its prior has ended."""
    is_first = found.scope is Scope.ALL and not (found.is_planned or found.isolate_items or found.items_done)
    return is_first and context.ahead.may_join(found.sync_id, found.manifest_sha256)


def _claim_first(tx: Tx, worker: str, instance: str, patience: Patience, without: Sequence[int]) -> list[Lease]:
    while (found := job.claim_next(tx, worker, instance, patience, without)) is not None:
        if not (found.has_active_prior and ordering.must_wait(tx, found.batch_id)):
            return _build_leases(tx, [found], worker)
        # Its prior was queued at the moment in which this job was promoted, reset or released.
        job.unclaim(tx, found.id)
        ordering.hold_back(tx, found.batch_id)
    return []


def _build_leases(tx: Tx, claimed: Sequence[Claimable], worker: str) -> list[Lease]:
    batch.start(tx, [found.batch_id for found in claimed])
    ledger.append_rows(tx, [event(found, worker) for found in claimed])
    return [lease(found, worker) for found in claimed]


def event(found: Claimable, worker: str) -> tuple[int, str, dict[str, object]]:
    """The batch, type and payload of the event of a claim."""
    payload = {"phase": "job_claim", "job_id": found.id, "priority": found.priority, "worker_id": worker}
    return found.batch_id, "job_claimed", payload


def lease(found: Claimable, worker: str) -> Lease:
    """A job as its worker holds it from its claim on."""
    now = time.monotonic()
    return Lease(
        found.id,
        found.batch_id,
        found.token + 1,
        worker,
        found.scope,
        found.isolate_items,
        items_done=found.items_done,
        items_total=found.items_total,
        waited=max(0.0, found.waited),  # the clock of the server may have been set back meanwhile
        claimed_at=now,
        progress_at=now,
        sync_id=found.sync_id,
        recorded_sha256=found.manifest_sha256,
    )

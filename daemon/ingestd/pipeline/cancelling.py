"""Cancels jobs that do not run yet, and retries of failed jobs."""

from dataclasses import replace

from ingestd.errors import NotEligible, NotFound
from ingestd.model import JobState
from ingestd.pipeline import status
from ingestd.pipeline.context import Context
from ingestd.pipeline.ordering import append_job_event
from ingestd.records import Batch, Job
from ingestd.store import batch, due, job, versions
from ingestd.store.db import Tx


def cancel(context: Context, sync_id: str, requested_by: str, job_id: int | None = None) -> Job:
    """Cancels the waiting or queued job of a batch, or the retry of its failed job. Raises NotFound, NotEligible.

    `job_id`: cancels only this job, or its retry.
    """

    def work(tx: Tx) -> Job:
        known = batch.lock(tx, sync_id)
        if known is None:
            raise NotFound(f"there is no batch {sync_id}")
        active = job.active(tx, known.id)
        if active is None:
            return _cancel_retry(tx, known, requested_by, job_id)
        if job_id is not None:
            require_active(known, active, job_id)
        if not job.cancel(tx, active.id):
            raise NotEligible(f"job {active.id} is running; only stopping the service stops it ({_worker_of(active)})")
        batch.note_cancelled(tx, known.id)
        due.note(tx, "promotion", known.id)
        versions.look_again(tx, known.id)
        append_job_event(tx, "job_cancelled", known.id, active.id, active.priority, requested_by)
        status.refresh(tx, known.id)
        return replace(active, state=JobState.CANCELLED)

    return context.db.transaction(work)


def _cancel_retry(tx: Tx, known: Batch, requested_by: str, job_id: int | None) -> Job:
    """The failed job that would have been tried again."""
    newest = job.newest(tx, known.id)
    if newest is not None and job_id not in (None, newest.id):
        require_active(known, None, job_id)
    if newest is None or not batch.cancel_retry(tx, known.id):
        raise NotEligible(f"batch {known.sync_id} has no job to cancel")
    append_job_event(tx, "retry_cancelled", known.id, newest.id, newest.priority, requested_by)
    return newest


def require_active(known: Batch, active: Job | None, job_id: int) -> None:
    """Raises NotEligible unless the active job of a batch is the one that a request means."""
    if active is None:
        raise NotEligible(f"job {job_id} of batch {known.sync_id} has ended; the batch has no active job")
    if active.id != job_id:
        raise NotEligible(f"job {job_id} of batch {known.sync_id} has ended; its active job is {active.id}")


def _worker_of(running: Job) -> str:
    """Who runs a job, and whether that is still so."""
    beat = "none" if running.heartbeat_at is None else f"{running.heartbeat_at:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"worker {running.claimed_by}, last heartbeat {beat}; if that process has died, any daemon that runs puts the"
        " job back into the queue"
    )

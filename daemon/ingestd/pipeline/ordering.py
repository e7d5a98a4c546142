"""The order of jobs: a job waits for the batch that its own follows; several batches are queued in order of version."""

from collections.abc import Sequence
from typing import Any

from ingestd import decide
from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.store import batch, due, job, ledger, versions, waiting_jobs
from ingestd.store.db import Tx

MAX_SUCCESSORS = 20

PHASES = {
    "job_queued": "job_queue",
    "job_waiting": "job_wait",
    "job_promoted": "job_promote",
    "job_reprioritised": "job_reprioritise",
    "job_rescoped": "job_rescope",
    "job_taken_over": "job_take_over",
    "job_cancelled": "job_cancel",
    "retry_cancelled": "job_cancel",
}


def must_wait(tx: Tx, batch_id: int) -> bool:
    """Whether the job of a batch waits: the batch that it names as prior has an active job and an older version.

    Versions are totally ordered, so that no two jobs ever wait for each other, whatever their priors.
    """
    found = job.active_prior(tx, batch_id)
    return found is not None and decide.is_older(found[1], found[0])


def hold_back(tx: Tx, batch_id: int) -> None:
    """Makes the queued job of a batch wait if it must; a running one goes on."""
    active = job.active(tx, batch_id)
    if active is not None and must_wait(tx, batch_id) and job.hold_back(tx, active.id):
        append_job_event(tx, "job_waiting", batch_id, active.id, active.priority, active.requested_by)


def hold_back_successors(tx: Tx, sync_id: str) -> None:
    """Makes the queued jobs of batches that follow this one wait for its new job."""
    for batch_id in job.queued_successors(tx, sync_id):
        hold_back(tx, batch_id)


def hold_back_all_successors(tx: Tx, sync_ids: Sequence[str]) -> None:
    """The same for several batches. Raises DatabaseContention if others hold one of the jobs for more than a second."""
    followers = [batch_id for sync_id in sync_ids for batch_id in job.queued_successors(tx, sync_id)]
    if followers:
        waiting_jobs.lock_queued_for_a_while(tx, followers)
    for batch_id in followers:
        hold_back(tx, batch_id)


def hold_back_again(tx: Tx, known: Batch) -> None:
    """Applies the order once more to a batch with an active job, whose manifest may name another prior or time now."""
    hold_back(tx, known.id)
    hold_back_successors(tx, known.sync_id)


def promote(tx: Tx, job_id: int) -> bool:
    """Queues a waiting job if it is its turn."""
    waiting = job.find(tx, job_id)
    if waiting is None or must_wait(tx, waiting.batch_id) or not job.promote(tx, job_id):
        return False
    append_job_event(tx, "job_promoted", waiting.batch_id, job_id, waiting.priority, waiting.requested_by)
    return True


def promote_successors(tx: Tx, batch_id: int) -> bool:
    """Queues the first jobs that waited for the job of this batch, which has just ended. A sweep queues any others.

    True if there were any.
    """
    waiting = waiting_jobs.successors(tx, batch_id, MAX_SUCCESSORS + 1)
    free = waiting_jobs.successors(tx, batch_id, MAX_SUCCESSORS, lock=True) if waiting else []
    promoted = sum(promote(tx, job_id) for job_id in free)
    if len(free) < len(waiting):
        due.note(tx, "promotion", batch_id)
    return promoted > 0


def oldest_first(context: Context, sync_ids: Sequence[str]) -> list[int]:
    """The places, in `sync_ids`, of batches in order of version; unknown and invalid batches come last.

    At the very end are those whose rows others hold, so that no other has to wait for them.
    """
    if len(sync_ids) < 2:
        return list(range(len(sync_ids)))
    found = context.db.read(lambda tx: versions.versions(tx, sync_ids))
    known = {version.sync_id for version in found}
    held = known - context.db.read(lambda tx: batch.free(tx, known))
    return sorted(decide.places_by_version(found, sync_ids), key=lambda place: sync_ids[place] in held)


def append_job_event(
    tx: Tx, event_type: str, batch_id: int, job_id: int, priority: int, requested_by: str | None, **more: str
) -> None:
    _, payload = job_event(event_type, job_id, priority, requested_by, **more)
    ledger.append(tx, batch_id, event_type, **payload)


def job_event(
    event_type: str, job_id: int, priority: int, requested_by: str | None, **more: str
) -> tuple[str, dict[str, Any]]:
    """The type and payload of an event about a job."""
    of_job = {"job_id": job_id, "priority": priority, "requested_by": requested_by}
    return event_type, {"phase": PHASES[event_type], **of_job, **more}

"""Where a batch stands: its status, computed from its job, its decisions and whether its removals are held."""

from ingestd import decide
from ingestd.model import BatchStatus, JobState
from ingestd.records import Batch
from ingestd.store import batch, batch_container, item, job, removal
from ingestd.store.db import Tx


def refresh(tx: Tx, batch_id: int) -> BatchStatus:
    """Computes and writes the status of a batch: from its active job if it has one, else from its decisions."""
    known = batch.find_by_id(tx, batch_id)
    active = job.active(tx, batch_id)
    if active is not None:
        status = BatchStatus.IMPORTING if active.state is JobState.RUNNING else BatchStatus.QUEUED
    else:
        batch.end_wait(tx, batch_id)
        status = without_job(tx, known)
    batch.set_status(tx, batch_id, status)
    return status


def without_job(tx: Tx, known: Batch) -> BatchStatus:
    """Status of a batch that has no active job."""
    if known.is_invalid or known.manifest_completed_at is None:
        return BatchStatus.INVALID
    if removal.find(tx, known.id, known.manifest_sha256).is_held:
        return BatchStatus.HELD
    if known.failure_count:
        return BatchStatus.FAILED
    counts = item.tally(tx, known.id) + batch_container.tally(tx, known.id)
    planned = known.plan_sha256 is not None and known.plan_sha256 == known.manifest_sha256
    finished = known.plan_sha256 is not None and job.is_imported(tx, known.id, known.plan_sha256)
    return decide.batch_status(planned, counts, finished=finished)

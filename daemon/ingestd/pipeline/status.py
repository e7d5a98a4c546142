"""Where a batch stands: its status, computed from its job and its decisions, and whether its removals are allowed."""

from ingestd import decide
from ingestd.errors import RemovalRefused
from ingestd.model import Action, BatchStatus, Decision, JobState
from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.store import batch, item, job
from ingestd.store.db import Tx


def refresh(tx: Tx, batch_id: int) -> BatchStatus:
    """Computes and writes the status of a batch: from its active job if it has one, else from its decisions."""
    known = batch.find_by_id(tx, batch_id)
    active = job.active(tx, batch_id)
    if active is not None:
        status = BatchStatus.IMPORTING if active.state is JobState.RUNNING else BatchStatus.QUEUED
    else:
        status = without_job(tx, known)
    batch.set_status(tx, batch_id, status)
    return status


def without_job(tx: Tx, known: Batch) -> BatchStatus:
    """Status of a batch that has no active job."""
    if known.status is BatchStatus.INVALID or known.manifest_completed_at is None:
        return BatchStatus.INVALID
    if known.failure_count:
        return BatchStatus.FAILED
    counts = item.tally(tx, known.id) + item.container_tally(tx, known.id)
    planned = known.plan_sha256 is not None and known.plan_sha256 == known.manifest_sha256
    return decide.batch_status(planned, counts, finished=False)


def check_removals(context: Context, tx: Tx, known: Batch) -> None:
    """Raises RemovalRefused when a batch would remove more assets than queue.removal_limit.

    An operator's force, given for the present digest, lifts the limit.
    """
    if known.action is not Action.REMOVE or known.force_sha256 == known.manifest_sha256:
        return
    limit = context.settings.queue.removal_limit
    tally = item.tally(tx, known.id)
    count = tally[Decision.WILL_REMOVE.value] + tally[Decision.REMOVED.value]
    if count > limit:
        raise RemovalRefused(
            f"batch {known.sync_id} would remove {count} assets, more than queue.removal_limit = {limit};"
            " review it with `ingestd preflight`, then allow it with `ingestd queue --force`"
        )

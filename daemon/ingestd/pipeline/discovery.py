"""Records a bundle that is new, and queues it in the same transaction if it may be queued by itself."""

from typing import Any

from ingestd.model import DAEMON, BatchStatus, InvalidBasis, JobState, Scope
from ingestd.pipeline import future, ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, job, ledger
from ingestd.store.db import Tx

Event = tuple[str, dict[str, Any]]


def record(tx: Tx, context: Context, sync_id: str, columns: dict[str, Any], *, queues: bool) -> dict[str, Any]:
    """Records a bundle without a batch; returns its columns, whose status is `queued` if it was queued.

    `queues`: queue.auto applies to it now. A bundle that follows another one, or that queued ones follow, is left to
    the sweep, which locks these as well.
    """
    if queues and _may_be_queued(tx, context, sync_id, columns):
        columns = {**columns, "status": BatchStatus.QUEUED.value}
    batch_id, discovered_at = batch.insert(tx, sync_id, columns)
    checked = future.check(columns, discovered_at, context.settings.mount.max_future)
    if checked is not columns:
        batch.invalidate(tx, batch_id, checked["last_error"], InvalidBasis(checked["invalid_basis"]))
    events: list[Event] = [("scan", _scan_payload(sync_id, checked))]
    if checked["status"] == BatchStatus.INVALID.value:
        events.append(invalid_event(checked))
    elif checked["status"] == BatchStatus.QUEUED.value:
        events.append(_queue(tx, context, batch_id, checked))
    ledger.append_all(tx, batch_id, events)
    return checked


def _may_be_queued(tx: Tx, context: Context, sync_id: str, columns: dict[str, Any]) -> bool:
    is_wanted = columns["action"] in {action.value for action in context.settings.queue.auto}
    is_plain = columns["status"] == BatchStatus.NEW.value and columns["prior_sync_id"] is None
    return is_wanted and is_plain and not job.queued_successors(tx, sync_id)


def _queue(tx: Tx, context: Context, batch_id: int, columns: dict[str, Any]) -> Event:
    """Inserts the job; returns its event."""
    priority, items = context.settings.queue.priority, columns["item_count"]
    job_id = job.insert(
        tx,
        batch_id,
        state=JobState.QUEUED,
        priority=priority,
        scope=Scope.ALL,
        manifest_sha256=columns["manifest_sha256"],
        requested_by=DAEMON,
        items_total=items,
    )
    return ordering.job_event("job_queued", job_id, priority, DAEMON)


def invalid_event(columns: dict[str, Any]) -> Event:
    """The event of a bundle that a scan found invalid."""
    return "batch_invalid", {"phase": "scan", "error": columns["last_error"]}


def _scan_payload(sync_id: str, columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "phase": "scan",
        "source": "filesystem",
        "manifest_sha256": columns["manifest_sha256"],
        "manifest_path": f"sync/{sync_id}.json",
        "sync_type": columns["type"],
        "action": columns["action"],
        "item_count": columns["item_count"],
        "total_bytes": columns["total_bytes"],
    }

"""Records new bundles, and queues those in the same transaction that may be queued by themselves."""

from collections.abc import Set
from datetime import datetime
from typing import Any

from ingestd.model import DAEMON, BatchStatus, InvalidBasis, JobState
from ingestd.pipeline import future, ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, job, ledger
from ingestd.store.db import Tx

Event = tuple[str, dict[str, Any]]
Columns = dict[str, Any]


def record(tx: Tx, context: Context, new: dict[str, Columns], free: Set[str] = frozenset()) -> dict[str, Columns]:
    """Records bundles without a batch, in this order; returns their columns, with status `queued` if they were queued.

    `free`: those that no queued bundle follows; queue.auto applies to them now. One that follows another, and all that
    are not free, are left to the sweep, which locks these others as well.
    """
    wanted = {sync_id: _queued(context, columns) if sync_id in free else columns for sync_id, columns in new.items()}
    inserted = batch.insert_all(tx, wanted)
    ids = {sync_id: batch_id for sync_id, (batch_id, _) in inserted.items()}
    checked = {sync_id: _checked(tx, context, columns, *inserted[sync_id]) for sync_id, columns in wanted.items()}
    job_ids = _insert_jobs(tx, context, ids, checked)
    events = [
        (ids[sync_id], *event)
        for sync_id, columns in checked.items()
        for event in _events(context, sync_id, columns, job_ids.get(sync_id))
    ]
    ledger.append_rows(tx, events)
    return checked


def _queued(context: Context, columns: Columns) -> Columns:
    is_wanted = columns["action"] in {action.value for action in context.settings.queue.auto}
    is_plain = columns["status"] == BatchStatus.NEW.value and columns["prior_sync_id"] is None
    return {**columns, "status": BatchStatus.QUEUED.value} if is_wanted and is_plain else columns


def _checked(tx: Tx, context: Context, columns: Columns, batch_id: int, discovered_at: datetime) -> Columns:
    """The columns with the verdict on a bundle from the future: only the insert returns the time of the server."""
    checked = future.check(columns, discovered_at, context.settings.mount.max_future)
    if checked is not columns:
        batch.invalidate_new(tx, batch_id, checked["last_error"], InvalidBasis(checked["invalid_basis"]))
    return checked


def _insert_jobs(tx: Tx, context: Context, ids: dict[str, int], recorded: dict[str, Columns]) -> dict[str, int]:
    """Inserts the jobs of queued batches, in order of version: those that follow no other have generation 0."""
    queued = {sync_id: row for sync_id, row in recorded.items() if row["status"] == BatchStatus.QUEUED.value}
    if not queued:
        return {}
    in_order = sorted(queued, key=lambda sync_id: (queued[sync_id]["manifest_completed_at"], sync_id))
    rows = [
        (ids[sync_id], JobState.QUEUED, queued[sync_id]["manifest_sha256"], queued[sync_id]["item_count"])
        for sync_id in in_order
    ]
    job_ids = job.insert_all(tx, rows, priority=context.settings.queue.priority, requested_by=DAEMON)
    return {sync_id: job_ids[ids[sync_id]] for sync_id in in_order}


def _events(context: Context, sync_id: str, columns: Columns, job_id: int | None) -> list[Event]:
    events: list[Event] = [("scan", _scan_payload(sync_id, columns))]
    if columns["status"] == BatchStatus.INVALID.value:
        events.append(invalid_event(columns))
    if job_id is not None:
        events.append(ordering.job_event("job_queued", job_id, context.settings.queue.priority, DAEMON))
    return events


def invalid_event(columns: Columns) -> Event:
    """The event of a bundle that a scan found invalid."""
    return "batch_invalid", {"phase": "scan", "error": columns["last_error"]}


def _scan_payload(sync_id: str, columns: Columns) -> dict[str, Any]:
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

"""What is delivered under a sync_id, and what that means for its batch: new, the same again, or another one."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.manifest import Manifest, parse_manifest
from ingestd.format.manifest_index import index_manifest
from ingestd.model import Batch, BatchStatus, JobState
from ingestd.pipeline import staging
from ingestd.pipeline.context import Context
from ingestd.store import batch, job, ledger
from ingestd.store.db import Tx


@dataclass(frozen=True, slots=True)
class Delivered:
    """One reading of a manifest: consumable (`manifest`), or not (`error`). `sha256` None: nothing could be read."""

    sha256: str | None = None
    manifest: Manifest | None = None
    error: str | None = None
    size: int = 0


def read(context: Context, sync_id: str) -> Delivered:
    """Reads the manifest of a bundle. Raises ManifestUnsettled, or MountUnavailable."""
    settings = context.settings.mount
    try:
        data = context.mount.read_manifest(sync_id)
    except ManifestUnsettled:
        raise
    except ManifestError as error:
        return Delivered(error=str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        manifest = parse_manifest(data, sync_id=sync_id, max_items=settings.max_items)
    except ManifestUnsettled:
        raise
    except ManifestError as error:
        return Delivered(sha256, error=str(error), size=len(data))
    return Delivered(sha256, manifest, size=len(data))


def record(context: Context, sync_id: str, delivered: Delivered) -> bool:
    """Records a reading in a transaction of its own; True if the batch is new or its content changed."""
    columns = columns_of(delivered)
    return context.db.transaction(lambda tx: _record(tx, context, sync_id, delivered, columns))


def _record(tx: Tx, context: Context, sync_id: str, delivered: Delivered, columns: dict[str, Any]) -> bool:
    known = batch.lock(tx, sync_id)
    columns = _with_clock(tx, context, delivered, columns)
    if known is None:
        batch_id = batch.insert(tx, sync_id, columns)
        ledger.append(tx, batch_id, "scan", **_scan_payload(sync_id, columns))
        _note_invalid(tx, batch_id, columns)
        return True
    active = job.active(tx, known.id)
    if known.manifest_sha256 == delivered.sha256 or (active and active.state is JobState.RUNNING):
        return False
    change(tx, known, delivered, columns, queued=active is not None)
    return True


def change(
    tx: Tx, known: Batch, delivered: Delivered, columns: dict[str, Any], *, queued: bool, phase: str = "scan"
) -> None:
    """Another digest under a known sync_id: says so, and brings its item rows back to what is to be decided."""
    status = BatchStatus.QUEUED.value if queued else columns["status"]
    batch.redeliver(tx, known.id, {**columns, "status": status})
    payload = {"phase": phase, "from_sha256": known.manifest_sha256, "to_sha256": delivered.sha256}
    ledger.append(tx, known.id, "manifest_changed", **payload)
    _note_invalid(tx, known.id, columns)
    if delivered.manifest is not None:
        staging.restage(tx, known.id, delivered.manifest)


def columns_of(delivered: Delivered) -> dict[str, Any]:
    """The columns of a batch that follow from a reading."""
    manifest = delivered.manifest
    if manifest is None:
        return batch.envelope_columns(BatchStatus.INVALID, error=delivered.error, sha256=delivered.sha256)
    return batch.envelope_columns(
        BatchStatus.NEW,
        sha256=delivered.sha256,
        type=manifest.type,
        action=manifest.action,
        source_host=manifest.source_host,
        item_count=len(manifest.raw_items),
        total_bytes=index_manifest(manifest).total_bytes,
        summary=manifest.summary,
        completed_at=manifest.completed_at,
        prior_sync_id=manifest.prior_sync_id,
    )


def future_problem(completed_at: datetime, now: datetime, max_future: float) -> str | None:
    """Why a bundle from the future is not taken: it would outrank every later one."""
    if completed_at <= now + timedelta(seconds=max_future):
        return None
    return (
        f"completed_at: {completed_at:%Y-%m-%dT%H:%M:%SZ} is more than {max_future:g} s ahead of the database's clock"
    )


def _with_clock(tx: Tx, context: Context, delivered: Delivered, columns: dict[str, Any]) -> dict[str, Any]:
    if delivered.manifest is None:
        return columns
    max_future = context.settings.mount.max_future
    problem = future_problem(delivered.manifest.completed_at, batch.database_now(tx), max_future)
    return {**columns, "status": BatchStatus.INVALID.value, "last_error": problem} if problem else columns


def _note_invalid(tx: Tx, batch_id: int, columns: dict[str, Any]) -> None:
    if columns["status"] == BatchStatus.INVALID.value:
        ledger.append(tx, batch_id, "batch_invalid", phase="scan", error=columns["last_error"])


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

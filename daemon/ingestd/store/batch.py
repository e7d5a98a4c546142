"""ingest_batch rows: the delivered bundles and their state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ingestd.model import Action, BatchStatus, InvalidBasis, Origin, Scope, Version
from ingestd.records import Batch
from ingestd.store.db import Tx
from ingestd.store.mount import Place
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Ids, Json, rows_json

_sql = Queries("batch")
_batch = RowReader(Batch)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that may have deferred items. `is_live`: it may be revived, and an asset is live that it waits for."""

    id: int
    sync_id: str
    may_revive: bool
    is_live: bool


_waiting = RowReader(Waiting)


def recorded(tx: Tx, sync_ids: Iterable[str]) -> set[str]:
    """Those of some bundles that have a batch."""
    return {row[0] for row in _sql.recorded(tx.connection, sync_ids=tuple(sync_ids))}


def find(tx: Tx, sync_id: str) -> Batch | None:
    # Other characters cannot be compared with an ascii column, and no sync_id has them.
    return _batch.maybe(_sql.find(tx.connection, sync_id=sync_id)) if sync_id.isascii() else None


def find_by_id(tx: Tx, batch_id: int) -> Batch:
    return _batch(_sql.find_by_id(tx.connection, batch_id=batch_id))


def lock(tx: Tx, sync_id: str) -> Batch | None:
    """The batch, with its row locked until the transaction ends."""
    return _batch.maybe(_sql.lock(tx.connection, sync_id=sync_id)) if sync_id.isascii() else None


def lock_at_once(tx: Tx, sync_id: str) -> Batch | None:
    """As `lock`, but raises DatabaseContention when another transaction holds the row."""
    return _batch.maybe(_sql.lock_at_once(tx.connection, sync_id=sync_id)) if sync_id.isascii() else None


def lock_by_id(tx: Tx, batch_id: int) -> Batch:
    return _batch(_sql.lock_by_id(tx.connection, batch_id=batch_id))


def lock_with_prior(tx: Tx, sync_id: str) -> None:
    """Locks a batch and the one that its manifest names as `prior_sync_id`."""
    list(_sql.lock_with_prior(tx.connection, sync_id=sync_id))


def age(tx: Tx, batch_id: int) -> float:
    """Seconds since a batch was discovered."""
    return float(_sql.age(tx.connection, batch_id=batch_id))


def recorded_or_followed(tx: Tx, sync_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Those of some bundles that are recorded, and those that a batch with a queued job names as its prior."""
    found = list(_sql.recorded_or_followed(tx.connection, sync_ids=tuple(sync_ids)))
    return {sync_id for sync_id, follows in found if not follows}, {sync_id for sync_id, follows in found if follows}


def insert_all(tx: Tx, envelopes: dict[str, dict[str, Any]]) -> dict[str, tuple[int, datetime]]:
    """Inserts batches, at most 1000, in this order: `envelope_columns` by sync_id. Their ids, and the server's time."""
    (rows,) = rows_json([_row(sync_id, envelope) for sync_id, envelope in envelopes.items()])
    inserted = _sql.insert_all(tx.connection, rows=rows)
    return {sync_id: (batch_id, discovered_at) for sync_id, batch_id, discovered_at in inserted}


def _row(sync_id: str, envelope: dict[str, Any]) -> dict[str, Any]:
    summary: Json | None = envelope["manifest_summary"]
    return {**envelope, "sync_id": sync_id, "manifest_summary": None if summary is None else summary.text.decode()}


def redeliver(tx: Tx, batch_id: int, envelope: dict[str, Any]) -> None:
    """Records another manifest under a known sync_id; the plan is discarded."""
    _sql.redeliver(tx.connection, batch_id=batch_id, **envelope)


def envelope_columns(
    status: BatchStatus,
    *,
    error: str | None = None,
    basis: InvalidBasis | None = None,
    sha256: str | None = None,
    type: str | None = None,
    action: Action | None = None,
    source_host: str | None = None,
    item_count: int = 0,
    total_bytes: int = 0,
    summary: dict[str, Any] | None = None,
    completed_at: datetime | None = None,
    prior_sync_id: str | None = None,
    origin: Origin | None = None,
) -> dict[str, Any]:
    """The columns of a batch that come from its manifest."""
    return {
        "status": status.value,
        "invalid_basis": basis.value if basis else None,
        "last_error": error,
        "manifest_sha256": sha256,
        "type": type,
        "action": action.value if action else None,
        "source_host": source_host,
        "item_count": item_count,
        "total_bytes": total_bytes,
        "manifest_summary": None if summary is None else Json(orjson.dumps(summary)),
        "manifest_completed_at": completed_at,
        "prior_sync_id": prior_sync_id,
        **_origin_columns(origin),
    }


def _origin_columns(origin: Origin | None) -> dict[str, Any]:
    if origin is None:
        return {"mount_type": None, "mount_source": None, "mount_fs_id": None}
    return {"mount_type": origin.fs_type, "mount_source": origin.source, "mount_fs_id": origin.fs_id}


def set_plan(tx: Tx, batch_id: int, sha256: str) -> None:
    _sql.set_plan(tx.connection, batch_id=batch_id, sha256=sha256)


def set_force(tx: Tx, batch_id: int, limit: int | None) -> None:
    """Allows removals beyond the limit, up to another one, for the present digest of the batch only."""
    _sql.set_force(tx.connection, batch_id=batch_id, limit=limit)


def hold(tx: Tx, batch_id: int, error: str) -> None:
    _sql.hold(tx.connection, batch_id=batch_id, error=error)


def set_error(tx: Tx, batch_id: int, error: str | None) -> None:
    _sql.set_error(tx.connection, batch_id=batch_id, error=error)


def note_error(tx: Tx, batch_id: int, error: str) -> None:
    """Records why the job of a batch is set aside, until it is claimed again or the wait ends otherwise."""
    _sql.note_error(tx.connection, batch_id=batch_id, error=error)


def end_wait(tx: Tx, batch_id: int) -> None:
    """Shows the error of the last run again in place of the reason why the job was set aside."""
    _sql.end_wait(tx.connection, batch_id=batch_id)


def set_status(tx: Tx, batch_id: int, status: BatchStatus) -> None:
    _sql.set_status(tx.connection, batch_id=batch_id, status=status.value)


def invalidate(tx: Tx, batch_id: int, error: str, basis: InvalidBasis) -> None:
    _sql.invalidate(tx.connection, batch_id=batch_id, error=error, basis=basis.value)


def invalidate_new(tx: Tx, batch_id: int, error: str, basis: InvalidBasis) -> None:
    """As `invalidate`, for a batch that was inserted in this transaction: it has no job."""
    _sql.invalidate_new(tx.connection, batch_id=batch_id, error=error, basis=basis.value)


def start(tx: Tx, ids: Sequence[int]) -> None:
    _sql.start(tx.connection, ids=Ids(ids))


def finish(tx: Tx, batch_id: int, status: BatchStatus, error: str | None) -> None:
    _sql.finish(tx.connection, batch_id=batch_id, status=status.value, error=error)


def finish_first(
    tx: Tx, batch_id: int, status: BatchStatus, error: str | None, sha256: str, version: Version, revision: int
) -> None:
    """Ends the first import of a batch that planned, began and ended in one transaction."""
    of_import = {"sha256": sha256, "completed_at": version.completed_at, "generation": version.generation}
    of_import["revision"] = revision
    _sql.finish_first(tx.connection, batch_id=batch_id, status=status.value, error=error, **of_import)


def fail(tx: Tx, batch_id: int, error: str, failure_count: int, retry_after: float | None) -> None:
    """Records a run that failed as a whole; the batch is due again after `retry_after` seconds, None: never."""
    pause_us = None if retry_after is None else int(retry_after * 1e6)
    _sql.fail(tx.connection, batch_id=batch_id, error=error, failure_count=failure_count, pause_us=pause_us)


def queue(tx: Tx, batch_id: int, *, takes_all: bool) -> None:
    """Records that a batch has a new job; `takes_all`: for all that its manifest lists."""
    _sql.queue(tx.connection, batch_id=batch_id, takes_all=takes_all)


def note_cancelled(tx: Tx, batch_id: int) -> None:
    """Records that a job of a batch was cancelled: no sweep queues it as new any more."""
    _sql.note_cancelled(tx.connection, batch_id=batch_id)


def retry_now(tx: Tx, batch_id: int) -> None:
    """Makes a sweep queue the batch again: what ended its last job is over."""
    _sql.retry_now(tx.connection, batch_id=batch_id)


def cancel_retry(tx: Tx, batch_id: int) -> bool:
    """False when no retry was due or ahead."""
    return bool(_sql.cancel_retry(tx.connection, batch_id=batch_id))


def retryable(tx: Tx, limit: int) -> list[tuple[str, Scope, int]]:
    """Failed batches whose next try is due: sync_id, and scope and priority of the last job."""
    return [(sync_id, Scope(scope), n) for sync_id, scope, n in _sql.retryable(tx.connection, limit=limit)]


def note_overturned(tx: Tx, batch_id: int, first_pause: float) -> None:
    """Records that the same manifest got another verdict. Scans check it again after a pause, doubled each time."""
    _sql.note_overturned(tx.connection, batch_id=batch_id, first_us=int(first_pause * 1e6))


def provisional(tx: Tx, max_future: float) -> dict[str, tuple[InvalidBasis, bool]]:
    """Invalid batches, by sync_id, whose verdict does not rest on their bytes and may not hold any more.

    For each: what it rests on, and whether scans check it again now.
    """
    rows = _sql.provisional(tx.connection, max_future_us=int(max_future * 1e6))
    return {sync_id: (InvalidBasis(basis), bool(is_doubtful)) for sync_id, basis, is_doubtful in rows}


def digests(tx: Tx, sync_ids: Iterable[str], place: Place, max_future: float) -> dict[str, str | None]:
    """The digest of each known batch, by sync_id; None where even the same manifest must be recorded again.

    That is the case while its verdict is in doubt, and when the host at `place` saw another manifest before.
    """
    wanted = tuple(sync_ids)
    if not wanted:
        return {}
    return dict(_sql.digests(tx.connection, sync_ids=wanted, max_future_us=int(max_future * 1e6), **place._asdict()))


def free(tx: Tx, sync_ids: Iterable[str]) -> set[str]:
    """Those of these batches whose rows no other transaction holds; they are locked until the transaction ends."""
    wanted = tuple(sync_ids)
    return {row[0] for row in _sql.free(tx.connection, sync_ids=wanted)} if wanted else set()


def without_active_job(tx: Tx, status: BatchStatus, after: int, limit: int) -> tuple[list[int], int]:
    """Those of the next batches of a status, by id, that have no active job; the id after which to go on, or 0."""
    rows = list(_sql.without_active_job(tx.connection, status=status.value, after=after, limit=limit))
    return [id_ for id_, has_job, _ in rows if not has_job], rows[-1][0] if rows and rows[-1][2] else 0


def revivable(tx: Tx, ids: Sequence[int], interval: float) -> list[Waiting]:
    """Some batches; those may be revived that have no active job, and were not revived for `interval` seconds."""
    return _waiting.all(_sql.revivable(tx.connection, ids=Ids(ids), interval_us=int(interval * 1e6)))


def note_revival(tx: Tx, batch_id: int, interval: float) -> bool:
    """False when it was revived less than `interval` seconds ago."""
    return bool(_sql.note_revival(tx.connection, batch_id=batch_id, interval_us=int(interval * 1e6)))


def any_recorded(tx: Tx, sync_ids: Sequence[str]) -> bool:
    """Whether one of these bundles is recorded."""
    return bool(sync_ids) and bool(_sql.any_recorded(tx.connection, sync_ids=tuple(sync_ids)))


def exists(tx: Tx) -> bool:
    """Whether anything is recorded."""
    return bool(_sql.exists(tx.connection))


def origin(tx: Tx, batch_id: int) -> tuple[Origin | None, datetime]:
    """What was mounted where a batch was recorded, and when it was discovered."""
    fs_type, source, fs_id, discovered_at = _sql.origin(tx.connection, batch_id=batch_id)
    return (None if fs_type is None else Origin(fs_type, source, fs_id)), discovered_at

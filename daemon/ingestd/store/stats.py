"""Looking on: rows as commands and pages show them. Read only."""

from typing import Any

from ingestd.store.db import Tx, load_queries

_sql = load_queries("stats")

BATCH_COLUMNS = (
    "sync_id", "type", "action", "status", "source_host", "item_count", "total_bytes", "discovered_at", "started_at",
    "completed_at", "last_error", "id",
)  # fmt: skip
ONE_BATCH_COLUMNS = (
    "sync_id", "type", "action", "status", "source_host", "item_count", "total_bytes", "manifest_sha256",
    "plan_sha256", "manifest_summary", "discovered_at", "started_at", "completed_at", "last_error", "id",
)  # fmt: skip
JOB_COLUMNS = (
    "id", "sync_id", "state", "priority", "scope", "requested_by", "queued_at", "claimed_at", "claimed_by",
    "heartbeat_at", "items_done", "items_total", "finished_at", "last_error", "reset_count",
)  # fmt: skip
NEWEST = 2**63 - 1

Row = dict[str, Any]


def batches(tx: Tx, *, status: str | None = None, before: int = NEWEST, most: int = 100) -> list[Row]:
    """Batches, newest first."""
    if status is None:
        rows = _sql.batches(tx.connection, before=before, most=most)
    else:
        rows = _sql.batches_by_status(tx.connection, status=status, before=before, most=most)
    return [dict(zip(BATCH_COLUMNS, row, strict=True)) for row in rows]


def batch(tx: Tx, sync_id: str) -> Row | None:
    row = _sql.batch(tx.connection, sync_id=sync_id) if sync_id.isascii() else None
    return None if row is None else dict(zip(ONE_BATCH_COLUMNS, row, strict=True))


def jobs_of_batch(tx: Tx, sync_id: str, batch_id: int, *, most: int = 50) -> list[Row]:
    """Jobs of one batch, newest first."""
    return _jobs(_sql.jobs_of_batch(tx.connection, sync_id=sync_id, batch_id=batch_id, most=most))


def active_jobs(tx: Tx, *, most: int = 200) -> list[Row]:
    return _jobs(_sql.active_jobs(tx.connection, most=most))


def finished_jobs(tx: Tx, *, most: int = 50) -> list[Row]:
    """Finished jobs, newest first."""
    return _jobs(_sql.finished_jobs(tx.connection, most=most))


def batch_counts(tx: Tx) -> dict[str, int]:
    """Batches by status, those that are imported left out: they are the past, and millions."""
    return dict(_sql.batch_counts(tx.connection))


def job_counts(tx: Tx) -> dict[str, int]:
    """Waiting, queued and running jobs."""
    return dict(_sql.job_counts(tx.connection))


def server_facts(tx: Tx) -> Row:
    columns = ("version", "max_allowed_packet", "binlog_format", "log_bin", "innodb_autoinc_lock_mode", "now")
    return dict(zip(columns, _sql.server_facts(tx.connection), strict=True))


def explain_claim(tx: Tx) -> list[tuple[Any, ...]]:
    return list(_sql.explain_claim(tx.connection))


def rights(tx: Tx) -> list[tuple[str | None, str]]:
    """What the daemon's account may do: (table, privilege); table None: every table."""
    return list(_sql.rights(tx.connection))


def _jobs(rows: Any) -> list[Row]:
    return [dict(zip(JOB_COLUMNS, row, strict=True)) for row in rows]

"""Looking on: rows as commands and pages show them. Read only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestd.store.db import Tx, load_queries

_sql = load_queries("stats")

BATCH_COLUMNS = (
    "sync_id", "type", "action", "status", "source_host", "item_count", "total_bytes", "discovered_at", "started_at",
    "completed_at", "last_error", "id", "items_done", "items_total", "job_state",
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


def batch(tx: Tx, sync_id: str) -> Row | None:
    row = _sql.batch(tx.connection, sync_id=sync_id) if sync_id.isascii() else None
    return None if row is None else dict(zip(ONE_BATCH_COLUMNS, row, strict=True))


def jobs_of_batch(tx: Tx, sync_id: str, batch_id: int, *, limit: int = 50) -> list[Row]:
    """Jobs of one batch, newest first."""
    return _jobs(_sql.jobs_of_batch(tx.connection, sync_id=sync_id, batch_id=batch_id, limit=limit))


def active_jobs(tx: Tx, *, limit: int = 200) -> list[Row]:
    """Running jobs, then the queued ones as they will be claimed, then those that wait."""
    return _jobs(_sql.active_jobs(tx.connection, limit=limit))


def finished_jobs(tx: Tx, *, limit: int = 50) -> list[Row]:
    """Finished jobs, those that ended last first."""
    return _jobs(_sql.finished_jobs(tx.connection, limit=limit))


def batch_counts(tx: Tx) -> dict[str, int]:
    """Batches by status, those that are imported left out: they are the past, and millions."""
    return dict(_sql.batch_counts(tx.connection))


def job_counts(tx: Tx) -> dict[str, int]:
    """Waiting, queued and running jobs."""
    return dict(_sql.job_counts(tx.connection))


def job_counts_up_to(tx: Tx, limit: int) -> dict[str, int]:
    """Waiting, queued and running jobs, of each state at most so many."""
    return dict(_sql.job_counts_up_to(tx.connection, limit=limit))


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


# Pages: rows in a fixed order, and the cursor after which the next page begins; None at the end.

ITEM_COLUMNS = (
    "ordinal", "type", "hash", "cover_hash", "parent_hash", "decision", "reason", "waiting_for", "target_ids",
    "last_error", "updated_at",
)  # fmt: skip
CONTAINER_COLUMNS = (
    "ordinal", "type", "hash", "decision", "reason", "missing", "target_ids", "last_error", "updated_at",
)  # fmt: skip
EVENT_COLUMNS = ("id", "event_type", "payload", "created_at")
WINDOW = 2000
"""so many rows are looked at for one page, however few of them are wanted: a page may be short and yet have a next"""

Page = tuple[list[Row], int | None]


def job(tx: Tx, job_id: int) -> Row | None:
    row = _sql.job(tx.connection, job_id=job_id)
    return None if row is None else dict(zip(JOB_COLUMNS, row, strict=True))


def batches_named(tx: Tx, sync_ids: Sequence[str]) -> list[Row]:
    """The batches of these names, in any order; names that are none are left out."""
    known = tuple(sync_id for sync_id in sync_ids if sync_id.isascii())
    return _batches(_sql.batches_named(tx.connection, sync_ids=known)) if known else []


def running_since(tx: Tx, *, limit: int = 200) -> tuple[datetime, dict[int, int]]:
    """The database's time, and of each running job the items that were done already when it was claimed."""
    found = dict(_sql.running_since(tx.connection, limit=limit))
    return _sql.now(tx.connection), found


def alive(tx: Tx) -> None:
    """Asks the database for a sign of life."""
    _sql.alive(tx.connection)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which batches are wanted. `prefix` is how a sync_id or a source host begins."""

    status: str | None = None
    action: str | None = None
    prefix: str | None = None


def batch_page(tx: Tx, wanted: Filter, *, before: int, limit: int) -> Page:
    """Batches, newest first, each with the progress of its active job if it has one."""
    values: dict[str, Any] = {"status": wanted.status, "action": wanted.action, "before": before, "limit": limit + 1}
    if not wanted.prefix:
        return _page(_batches(_page_query(wanted)(tx.connection, **values)), "id", limit)
    values |= _patterns(wanted.prefix)
    if _are_few(tx, **_patterns(wanted.prefix)):
        return _page(_batches(_sql.batches_beginning(tx.connection, **values)), "id", limit)
    oldest, newest = _sql.oldest_and_newest_batch(tx.connection)
    # Ids have few gaps, and counting rows instead would cost as much as looking at them.
    down_to = min(before, newest + 1) - WINDOW
    rows = _sql.batches_beginning_in_window(tx.connection, down_to=down_to, **values)
    return _page(_batches(rows), "id", limit, down_to if down_to > oldest else None)


def _page_query(wanted: Filter) -> Any:
    """The query whose index has the wanted batches in the order of their ids."""
    if wanted.status is None:
        return _sql.batches if wanted.action is None else _sql.batches_by_action
    return _sql.batches_by_status if wanted.action is None else _sql.batches_by_status_and_action


def _patterns(prefix: str) -> dict[str, str | None]:
    """What LIKE is to match; None, which matches nothing, where no sync_id can begin so: those are lower-case ASCII."""
    escaped = re.sub(r"([\\%_])", r"\\\1", prefix) + "%"
    return {"sync_id": escaped.lower() if prefix.isascii() else None, "source_host": escaped}


def _are_few(tx: Tx, *, sync_id: str | None, source_host: str | None) -> bool:
    """Whether those that begin so can all be looked at for one page."""
    if sync_id and _sql.sync_ids_beginning(tx.connection, sync_id=sync_id, limit=WINDOW + 1) > WINDOW:
        return False
    return bool(_sql.hosts_beginning(tx.connection, source_host=source_host, limit=WINDOW + 1) <= WINDOW)


def event_page(tx: Tx, batch_id: int, *, before: int, limit: int) -> Page:
    """Events of one batch, newest first."""
    rows = _sql.events(tx.connection, batch_id=batch_id, before=before, limit=limit + 1)
    return _page([dict(zip(EVENT_COLUMNS, row, strict=True)) for row in rows], "id", limit)


def job_page(tx: Tx, *, state: str | None, is_active: bool, before: int, limit: int) -> Page:
    """Jobs, newest first; `is_active` tells that `state` is none of those in which jobs end."""
    if state is None:
        return _page(_jobs(_sql.jobs(tx.connection, before=before, limit=limit + 1)), "id", limit)
    if is_active and job_counts_up_to(tx, WINDOW + 1)[state] > WINDOW:
        return _active_jobs_in_window(tx, state, before, limit)
    query = _sql.active_jobs_in_state if is_active else _sql.jobs_ended
    return _page(_jobs(query(tx.connection, state=state, before=before, limit=limit + 1)), "id", limit)


def _active_jobs_in_window(tx: Tx, state: str, before: int, limit: int) -> Page:
    oldest, newest = _sql.oldest_and_newest_job(tx.connection)
    down_to = min(before, newest + 1) - WINDOW
    rows = _sql.active_jobs_in_window(tx.connection, state=state, before=before, down_to=down_to, limit=limit + 1)
    return _page(_jobs(rows), "id", limit, down_to if down_to > oldest else None)


def item_page(tx: Tx, batch_id: int, *, decision: str | None, after: int, limit: int) -> Page:
    """Listed items of one batch, in order of the manifest."""
    wanted: dict[str, Any] = {"batch_id": batch_id, "after": after, "limit": limit + 1}
    if decision in ("failed", "deferred"):
        return _page(_items(_sql.items_needing_attention(tx.connection, decision=decision, **wanted)), "ordinal", limit)
    up_to, seen = _sql.items_window(tx.connection, batch_id=batch_id, after=after, window=WINDOW)
    if not seen:
        return [], None
    if decision is None:
        rows = _sql.items(tx.connection, up_to=up_to, **wanted)
    else:
        rows = _sql.items_decided(tx.connection, up_to=up_to, decision=decision, **wanted)
    return _page(_items(rows), "ordinal", limit, up_to if seen == WINDOW else None)


def containers(tx: Tx, batch_id: int, *, limit: int = 100) -> list[Row]:
    """Listed containers of one batch, in order of the manifest."""
    rows = _sql.containers(tx.connection, batch_id=batch_id, limit=limit)
    return [dict(zip(CONTAINER_COLUMNS, row, strict=True)) for row in rows]


def _batches(rows: Any) -> list[Row]:
    return [dict(zip(BATCH_COLUMNS, row, strict=True)) for row in rows]


def _items(rows: Any) -> list[Row]:
    return [dict(zip(ITEM_COLUMNS, row, strict=True)) for row in rows]


def _page(rows: list[Row], key: str, limit: int, looked_until: int | None = None) -> Page:
    """The first `most` of the rows; one row more than that, or a window cut off, tells that there are others."""
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1][key]
    return rows, looked_until

"""Jobs as lists and pages show them."""

from operator import attrgetter
from typing import Any

from ingestd.model import ACTIVE_STATES
from ingestd.records import Job
from ingestd.store.db import Tx
from ingestd.store.queries import paging
from ingestd.store.queries.paging import Page, cut
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/jobs")
_jobs = RowReader(Job)
_id = attrgetter("id")


def of_batch(tx: Tx, batch_id: int, *, limit: int = 50) -> list[Job]:
    """Jobs of one batch, newest first."""
    return _jobs.all(_sql.of_batch(tx.connection, batch_id=batch_id, limit=limit))


def active(tx: Tx, *, limit: int = 200) -> list[Job]:
    """Running jobs, then the queued ones in the order of claiming, then the waiting ones."""
    return _jobs.all(_sql.active(tx.connection, limit=limit))


def finished(tx: Tx, *, limit: int = 50) -> list[Job]:
    """Finished jobs; the one that finished last comes first."""
    return _jobs.all(_sql.finished(tx.connection, limit=limit))


def recent(tx: Tx) -> list[Job]:
    """Active jobs, then those that finished last."""
    return active(tx) + finished(tx)


def counts(tx: Tx) -> dict[str, int]:
    """Waiting, queued and running jobs; states without jobs are left out."""
    return dict(_sql.counts(tx.connection))


def counts_up_to(tx: Tx, limit: int) -> dict[str, int]:
    """Waiting, queued and running jobs, counted up to `limit` for each state."""
    return dict(_sql.counts_up_to(tx.connection, limit=limit))


def page(tx: Tx, *, state: str | None, before: int, limit: int) -> Page[Job]:
    """Jobs with an id below `before`, newest first."""
    values: dict[str, Any] = {"before": before, "limit": limit + 1}
    if state is None:
        return cut(_jobs.all(_sql.newest(tx.connection, **values)), _id, limit)
    is_active = state in ACTIVE_STATES
    if is_active and counts_up_to(tx, paging.WINDOW + 1)[state] > paging.WINDOW:
        return _active_in_window(tx, state, before, limit)
    query = _sql.active_in_state if is_active else _sql.ended
    return cut(_jobs.all(query(tx.connection, state=state, **values)), _id, limit)


def _active_in_window(tx: Tx, state: str, before: int, limit: int) -> Page[Job]:
    oldest, newest = _sql.oldest_and_newest(tx.connection)
    down_to = min(before, newest + 1) - paging.WINDOW
    rows = _sql.active_in_window(tx.connection, state=state, before=before, down_to=down_to, limit=limit + 1)
    return cut(_jobs.all(rows), _id, limit, down_to if down_to > oldest else None)

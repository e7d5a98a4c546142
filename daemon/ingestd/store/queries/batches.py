"""Batches as lists and pages show them, newest first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ingestd.records import ListedBatch, SummarizedBatch
from ingestd.store.db import Tx
from ingestd.store.queries import paging
from ingestd.store.queries.paging import Page, cut
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/batches")
_listed = RowReader(ListedBatch)
_summarized = RowReader(SummarizedBatch)
_id = attrgetter("id")


def find(tx: Tx, sync_id: str) -> SummarizedBatch | None:
    return _summarized.maybe(_sql.find(tx.connection, sync_id=sync_id)) if sync_id.isascii() else None


def beginning_with(tx: Tx, prefix: str) -> list[str]:
    """sync_ids that begin with `prefix`, two at most: with two it fits no single batch."""
    return [row[0] for row in _sql.beginning_with(tx.connection, sync_id=_pattern(prefix))]


def named(tx: Tx, sync_ids: Sequence[str]) -> list[ListedBatch]:
    """The batches with these sync_ids, in any order; unknown ones are left out."""
    known = tuple(sync_id for sync_id in sync_ids if sync_id.isascii())
    return _listed.all(_sql.named(tx.connection, sync_ids=known)) if known else []


def counts(tx: Tx) -> dict[str, int]:
    """Batches by status, without imported ones."""
    return dict(_sql.counts(tx.connection))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which batches to list. `prefix` is the beginning of a sync_id or of a source host."""

    status: str | None = None
    action: str | None = None
    prefix: str | None = None


def page(tx: Tx, wanted: Filter, *, before: int, limit: int) -> Page[ListedBatch]:
    """Batches with an id below `before`."""
    values: dict[str, Any] = {"status": wanted.status, "action": wanted.action, "before": before, "limit": limit + 1}
    if not wanted.prefix:
        return cut(_listed.all(_query_for(wanted)(tx.connection, **values)), _id, limit)
    values |= _patterns(wanted.prefix)
    if _are_few(tx, **_patterns(wanted.prefix)):
        return cut(_listed.all(_sql.beginning(tx.connection, **values)), _id, limit)
    oldest, newest = _sql.oldest_and_newest(tx.connection)
    # Ids have few gaps, and counting rows instead would cost as much as looking at them.
    down_to = min(before, newest + 1) - paging.WINDOW
    rows = _sql.beginning_in_window(tx.connection, down_to=down_to, **values)
    return cut(_listed.all(rows), _id, limit, down_to if down_to > oldest else None)


def _query_for(wanted: Filter) -> Any:
    """The query whose index holds the wanted batches in the order of their ids."""
    if wanted.status is None:
        return _sql.newest if wanted.action is None else _sql.by_action
    return _sql.by_status if wanted.action is None else _sql.by_status_and_action


def _patterns(prefix: str) -> dict[str, str | None]:
    """Patterns for LIKE. None, which matches nothing, where no sync_id can match: those are lower-case ASCII."""
    escaped = _pattern(prefix)
    return {"sync_id": escaped.lower() if prefix.isascii() else None, "source_host": escaped}


def _pattern(prefix: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", prefix) + "%"


def _are_few(tx: Tx, *, sync_id: str | None, source_host: str | None) -> bool:
    """Whether at most a window of batches has the prefix."""
    limit = paging.WINDOW + 1
    if sync_id and _sql.count_sync_ids(tx.connection, sync_id=sync_id, limit=limit) > paging.WINDOW:
        return False
    return bool(_sql.count_hosts(tx.connection, source_host=source_host, limit=limit) <= paging.WINDOW)

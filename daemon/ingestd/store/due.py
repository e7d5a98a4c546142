"""ingest_due rows: what sweeps look at. The transaction that gives a reason to look writes a row."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from ingestd.model import Action
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids, rows_json

_sql = Queries("due")

Kind = Literal["revival", "promotion"]
"""What a sweep should do with a batch: revive it, or promote the jobs of those that follow it."""


class Awaited(NamedTuple):
    """A hash that items (`item`) or containers (`member`) wait for. `is_last`: the next look begins after it."""

    waiter: Literal["item", "member"]
    hash: str
    is_live: bool
    is_last: bool


class Look(NamedTuple):
    """Whether there may be batches to place, notes, waiting jobs, and batches to retry."""

    may_place: bool
    is_noted: bool
    is_waiting: bool
    may_retry: bool


def look(tx: Tx) -> Look:
    """What sweeps may find, in one statement: there is nothing most of the time."""
    return Look(*map(bool, _sql.look(tx.connection)))


def never_queued(tx: Tx, actions: Iterable[Action], limit: int) -> list[str]:
    """sync_ids of consumable batches whose present manifest never had a job, the earliest by `completed_at`."""
    wanted = tuple(action.value for action in actions)
    present = [action for (action,) in _sql.unqueued_actions(tx.connection, actions=wanted)]
    found = [row for action in present for row in _sql.never_queued(tx.connection, action=action, limit=limit)]
    return [sync_id for sync_id, _ in sorted(found, key=lambda row: (row[1] or datetime.min, row[0]))[:limit]]


def note(tx: Tx, kind: Kind, batch_id: int) -> None:
    """Has a sweep look at a batch."""
    _sql.note(tx.connection, kind=kind, batch_id=batch_id)


def note_live(tx: Tx, hashes: Iterable[str]) -> None:
    """Has a sweep look at the batches that wait for assets, which this transaction holds locked, and which are live.

    A transaction that defers an item or a container holds these locks, too: of the two, the later one sees the other.
    So one look whether anything waits at all is enough: it comes after the locks, and sees what was deferred before.
    """
    parts = rows_json(sorted(hashes))
    if not parts or not _sql.is_any_awaited(tx.connection):
        return
    for part in parts:
        _sql.note_live(tx.connection, hashes=part)


def due(tx: Tx, kind: Kind, interval: float, limit: int) -> dict[int, list[int]]:
    """The batches to look at, those first that were noted first, each with the ids of its rows."""
    found: dict[int, list[int]] = {}
    for id_, batch_id in _sql.due(tx.connection, kind=kind, interval_us=int(interval * 1e6), limit=limit):
        found.setdefault(batch_id, []).append(id_)
    return found


def put_off(tx: Tx, ids: Sequence[int], seconds: float) -> None:
    """Has these rows looked at again after some time."""
    if ids:
        _sql.put_off(tx.connection, ids=Ids(ids), interval_us=int(seconds * 1e6))


def forget(tx: Tx, ids: Sequence[int]) -> None:
    if ids:
        _sql.forget(tx.connection, ids=Ids(ids))


def awaited(tx: Tx, after: Mapping[str, str], limit: int) -> list[Awaited]:
    """Of so many hashes of each kind that are waited for, after the last that was seen: live ones, and the last."""
    places = {f"after_{waiter}": hash_ for waiter, hash_ in after.items()}
    return [
        Awaited(waiter, hash_, bool(is_live), bool(is_last))
        for waiter, hash_, is_live, is_last in _sql.awaited(tx.connection, limit=limit, **places)
    ]

"""ingest_batch_container rows: the galleries and collections that a manifest lists, and what was decided of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ingestd.model import TAKEN_BY, Decision, Scope, Verdict
from ingestd.store import bulk
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids, rows_json, rows_of

_sql = Queries("batch_container")


@dataclass(frozen=True, slots=True)
class OpenContainer:
    """A container row that a run takes up; `is_deferred`: some of its members were not live before."""

    id: int
    is_deferred: bool


@dataclass(frozen=True, slots=True)
class StagedContainer:
    id: int
    entry_sha256: str
    in_manifest: bool
    decision: Decision


def existing(tx: Tx, batch_id: int) -> dict[tuple[str, str], StagedContainer]:
    rows = _sql.existing(tx.connection, batch_id=batch_id)
    return {
        (kind, hash_): StagedContainer(id_, entry, bool(listed), Decision(decision))
        for id_, kind, hash_, entry, listed, decision in rows
    }


def stage(tx: Tx, batch_id: int, rows: Sequence[tuple[int, str, str, str]]) -> None:
    """New containers: (ordinal, type, hash, entry_sha256)."""
    for part in rows_of(rows, batch_id, Decision.PENDING.value):
        bulk.write(tx, part, insert=_sql.stage, load=_sql.load_staged)


def restage(tx: Tx, rows: Sequence[tuple[int, int, str]]) -> None:
    """Changed containers, which become pending: (id, ordinal, entry_sha256)."""
    for part in rows_json(rows):
        _sql.restage(tx.connection, rows=part)


def reset(tx: Tx, batch_id: int, decisions: Sequence[str]) -> None:
    """Forgets these decisions of a batch, so that what they are about is taken up again."""
    _sql.reset(tx.connection, batch_id=batch_id, decisions=decisions)


def drop(tx: Tx, ids: Sequence[int]) -> None:
    if ids:
        _sql.drop(tx.connection, ids=Ids(ids))


def undecided(tx: Tx, batch_id: int, scope: Scope) -> dict[tuple[str, str], OpenContainer]:
    """The rows, by (type, hash), of the containers that a job of `scope` takes up."""
    rows = _sql.undecided(tx.connection, batch_id=batch_id, decisions=TAKEN_BY[scope])
    return {(kind, hash_): OpenContainer(id_, bool(is_deferred)) for id_, kind, hash_, is_deferred in rows}


def decide(tx: Tx, decisions: Iterable[tuple[int, Verdict, Mapping[str, Any], Sequence[str]]]) -> None:
    """Writes what was decided of some containers: (id, verdict, ids of its target, hashes of members not live)."""
    rows = [
        (id_, verdict.decision, verdict.reason, _text(missing), _text(targets), verdict.error)
        for id_, verdict, targets, missing in decisions
    ]
    for part in rows_json(rows):
        _sql.decide(tx.connection, rows=part)


def _text(value: Mapping[str, Any] | Sequence[str]) -> str | None:
    """A value as JSON text; None if it is empty."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else None


def note_missing(tx: Tx, batch_id: int, rows: Sequence[tuple[int, str]]) -> None:
    """Has deferred containers found by the hashes of the members that they wait for: (container id, hash)."""
    for part in rows_json(rows):
        _sql.note_missing(tx.connection, batch_id=batch_id, rows=part)


def forget_missing(tx: Tx, container_ids: Sequence[int]) -> None:
    """Containers are not found by the hashes of before any more."""
    if container_ids:
        _sql.forget_missing(tx.connection, container_ids=Ids(container_ids))


def tally(tx: Tx, batch_id: int) -> Counter[str]:
    """How many listed containers carry each decision."""
    return Counter(dict(_sql.tally(tx.connection, batch_id=batch_id)))

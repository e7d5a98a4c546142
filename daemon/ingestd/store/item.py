"""ingest_batch_item rows: the items that a manifest lists, and what was decided of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import orjson

from ingestd.format.manifest_index import Identity
from ingestd.model import TAKEN_BY, Decision, Reason, Scope, Verdict, numbers_of
from ingestd.store import batch_container, bulk
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import ROWS_PER_STATEMENT, Ids, rows_json, rows_of

_sql = Queries("item")
PENDING = Decision.PENDING.value


@dataclass(frozen=True, slots=True)
class StagedItem:
    """An item row as the pre-flight finds it."""

    id: int
    ordinal: int
    entry_sha256: str
    in_manifest: bool
    decision: Decision
    reason: str | None
    waiting_for: str | None


class OpenItem(msgspec.Struct, frozen=True, gc=False):
    """An item row that a run takes up, and what was decided of it so far; `reason` may be empty.

    One that `is_new` is not written yet: it will be when it is decided.
    """

    id: int
    ordinal: int
    crash_count: int
    decision: str
    reason: str

    @classmethod
    def new(cls, ordinal: int) -> "OpenItem":
        return cls(0, ordinal, 0, PENDING, "")

    @property
    def is_new(self) -> bool:
        return not self.id


@dataclass(frozen=True, slots=True)
class CoverStatement:
    """What one item of a batch says about the cover of an asset; `is_entry`: it is the entry of that asset."""

    row: OpenItem
    cover_hash: str
    is_entry: bool


def has_any(tx: Tx, batch_id: int) -> bool:
    """Whether a batch has item rows."""
    return bool(list(_sql.has_any(tx.connection, batch_id=batch_id)))


def existing(tx: Tx, batch_id: int, identities: Sequence[Identity]) -> dict[Identity, StagedItem]:
    """Those of some items that have rows."""
    found: dict[Identity, StagedItem] = {}
    for part in rows_json(identities):
        found.update(_staged(_sql.existing(tx.connection, batch_id=batch_id, rows=part)))
    return found


def at(tx: Tx, batch_id: int, first: int, end: int) -> dict[Identity, StagedItem]:
    """The rows of listed items at ordinals from `first` to before `end`."""
    return _staged(_sql.at(tx.connection, batch_id=batch_id, first=first, end=end))


def _staged(text: str | None) -> dict[Identity, StagedItem]:
    found = {}
    for id_, ordinal, kind, hash_, parent, entry, listed, decision, reason, waiting in orjson.loads(text or "[]"):
        row = StagedItem(id_, ordinal, entry, bool(listed), Decision(decision), reason, waiting)
        found[kind, hash_, parent] = row
    return found


def count_listed(tx: Tx, batch_id: int) -> int:
    """How many rows of a batch are of items that are, or were, listed."""
    ((count,),) = _sql.count_listed(tx.connection, batch_id=batch_id)
    return int(count)


def stage(tx: Tx, batch_id: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """New items: (ordinal, type, hash, cover_hash, parent_hash, entry_sha256, decision, reason, waiting_for, error)."""
    for part in rows_of(rows, batch_id):
        bulk.write(tx, part, insert=_sql.stage, load=_sql.load_staged)


def stage_decided(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """As `stage`, with what was decided of each item; each row ends with the id of its batch."""
    for part in rows_json(rows):
        _sql.stage_decided(tx.connection, rows=part)


def restage(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Updates changed items: (id, ordinal, cover_hash, entry_sha256, decision, reason, waiting_for, error)."""
    for part in rows_json(rows):
        _sql.restage(tx.connection, rows=part)


def drop(tx: Tx, ids: Sequence[int]) -> None:
    """Items no longer listed: they count nowhere from now on."""
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        _sql.drop(tx.connection, ids=Ids(ids[start : start + ROWS_PER_STATEMENT]))


def drop_from(tx: Tx, batch_id: int, first: int) -> None:
    """As `drop`, for all items at ordinal `first` and after."""
    _sql.drop_from(tx.connection, batch_id=batch_id, first=first)


def reset(tx: Tx, batch_id: int, decisions: Iterable[Decision] = Decision) -> None:
    """Forgets these decisions of a batch, by default all, so that what they are about is taken up again."""
    given = tuple(decision.value for decision in decisions)
    _sql.reset(tx.connection, batch_id=batch_id, decisions=given)
    recount(tx, batch_id)
    batch_container.reset(tx, batch_id, given)


def tally(tx: Tx, batch_id: int) -> Counter[str]:
    """How many listed items carry each decision."""
    counts: Counter[str] = Counter()
    for (decision, _), count in tally_by_reason(tx, batch_id).items():
        counts[decision] += count
    return counts


def tally_by_reason(tx: Tx, batch_id: int) -> Counter[tuple[str, str]]:
    """How many listed items carry each decision and reason; the reason may be empty."""
    rows = _sql.tally(tx.connection, batch_id=batch_id)
    return Counter({(decision, reason): count for decision, reason, count in rows})


def recount(tx: Tx, batch_id: int) -> None:
    """Recounts the tally from the items: after changes to many of them, and at the end of a run."""
    _sql.clear_tally(tx.connection, batch_id=batch_id)
    _sql.count_tally(tx.connection, batch_id=batch_id)


def shift_tally(tx: Tx, batch_id: int, before: Iterable[OpenItem], verdicts: Iterable[Verdict]) -> None:
    """Moves some items in the tally from what was decided of them to what is decided now."""
    changes: Counter[tuple[str, str]] = Counter()
    for verdict, count in numbers_of(verdicts):
        changes[verdict.decision.value, verdict.reason or ""] += count
    changes.subtract(Counter((row.decision, row.reason) for row in before))
    rows = [
        {"batch_id": batch_id, "decision": decision, "reason": str(reason), "items": count}
        for (decision, reason), count in sorted(changes.items())
        if count
    ]
    if rows:
        _sql.shift_tally(tx.connection, rows)


def begin_tallies(tx: Tx, created: Mapping[int, int]) -> None:
    """How many items were created of batches, by id, of which nothing else was decided."""
    counted = {"decision": Decision.CREATED.value, "reason": ""}
    rows = [{"batch_id": batch_id, "items": count, **counted} for batch_id, count in sorted(created.items())]
    _sql.shift_tally(tx.connection, rows)


def chunk(tx: Tx, *, batch_id: int, scope: Scope, covers: bool, after: int, limit: int) -> list[OpenItem]:
    """The next items, by ordinal, that a job of `scope` takes up: covers, or all others."""
    query = _sql.revival_chunk if scope is Scope.REVIVAL else _sql.chunk
    wanted: dict[str, Any] = {"batch_id": batch_id, "covers": covers, "after": after, "limit": limit}
    if scope is not Scope.REVIVAL:
        wanted["decisions"] = TAKEN_BY[scope]
    text = query(tx.connection, **wanted)
    rows = [] if text is None else [OpenItem(*row) for row in orjson.loads(text)]
    return sorted(rows, key=attrgetter("ordinal"))


def contested_covers(tx: Tx, batch_id: int) -> dict[str, list[CoverStatement]]:
    """The statements about covers of each asset that has several in a batch, of which one failed."""
    found: dict[str, list[CoverStatement]] = {}
    for asset, cover_hash, is_entry, *row in _sql.contested_covers(tx.connection, batch_id=batch_id):
        found.setdefault(asset, []).append(CoverStatement(OpenItem(*row), cover_hash, bool(is_entry)))
    return {asset: statements for asset, statements in found.items() if len(statements) > 1}


def failed(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Those of some items, by id, that failed."""
    return [row[0] for row in _sql.failed(tx.connection, ids=Ids(ids))]


def decide(tx: Tx, decisions: Iterable[tuple[int, Verdict]]) -> None:
    """Writes what was decided of some items, by id, that are not in the library as they should be."""
    rows = [(id_, verdict.decision, verdict.reason, verdict.waiting_for, verdict.error) for id_, verdict in decisions]
    for part in rows_json(rows):
        _sql.decide(tx.connection, rows=part)


def decide_alike(tx: Tx, ids: Sequence[int], decision: Decision, reason: Reason | None) -> None:
    """Writes one decision, without an error, for many items; their assets, or their covers' parents, are its target."""
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        part = Ids(ids[start : start + ROWS_PER_STATEMENT])
        _sql.decide_alike(tx.connection, ids=part, decision=decision.value, reason=reason and reason.value)


def record_crash(tx: Tx, item_id: int) -> None:
    """Counts a crash of a worker that was importing this item."""
    _sql.record_crash(tx.connection, item_id=item_id)

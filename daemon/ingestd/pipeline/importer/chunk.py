"""One chunk: decided from locked rows, then written set-wise, in the caller's transaction.

The order of locks is the same for every writer: assets by hash, everything else below them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ingestd.bundle import wire
from ingestd.bundle.entry import Entry
from ingestd.bundle.files import SOURCE
from ingestd.model import Action, Decision, Reason, Verdict, Version
from ingestd.pipeline import judge
from ingestd.pipeline.judge import Bundle, Facts
from ingestd.store import item, ledger, library
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem

NOTHING_READ = wire.Reading(-1)
NO_DOCUMENTS = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Piece:
    """One item of a chunk: its row, its entry, and what was read of it."""

    row: OpenItem
    entry: Entry
    reading: wire.Reading = NOTHING_READ

    @property
    def size(self) -> int:
        """Bytes that its documents put into statements."""
        return sum(len(document.text) for document in self.reading.documents)


Decided = list[tuple[Piece, Verdict]]
"""What became of each piece of a chunk, in order."""


def write(tx: Tx, bundle: Bundle, pieces: Sequence[Piece]) -> Decided:
    """Decides and writes a chunk of covers, or of other items: library rows, item decisions, ledger events."""
    facts = judge.gather(tx, bundle, (piece.entry for piece in pieces), lock=True)
    decided = [(piece, _verdict(piece, bundle, facts)) for piece in pieces]
    if pieces[0].entry.is_cover:
        _write_covers(tx, bundle, facts, decided)
        targets = [(piece, verdict, _cover_targets(piece.entry, facts)) for piece, verdict in decided]
        record(tx, targets)
    else:
        _write_assets(tx, bundle, facts, decided)
        _record_assets(tx, decided)
    return decided


def record(tx: Tx, decided: Sequence[tuple[Piece, Verdict, dict[str, Any]]]) -> None:
    """Writes decisions to the items, each with its own targets, and tells them to the ledger."""
    item.decide(
        tx,
        [
            (piece.row.id, verdict, {} if verdict.decision is Decision.FAILED else targets)
            for piece, verdict, targets in decided
        ],
    )
    ledger.append_items(tx, [piece.row.id for piece, _, _ in decided])


def _record_assets(tx: Tx, decided: Decided) -> None:
    """As `record`, set-wise: what is decided alike is written by one statement."""
    alike: dict[tuple[Decision, Reason | None], list[int]] = {}
    for piece, verdict in decided:
        if verdict.error is None:
            alike.setdefault((verdict.decision, verdict.reason), []).append(piece.row.id)
    for (decision, reason), ids in alike.items():
        item.decide_assets(tx, ids, decision, reason)
    item.decide(tx, [(piece.row.id, verdict, {}) for piece, verdict in decided if verdict.error is not None])
    ledger.append_items(tx, [piece.row.id for piece, _ in decided])


def _verdict(piece: Piece, bundle: Bundle, facts: Facts) -> Verdict:
    reading = piece.reading
    verdict = judge.judge(piece.entry, bundle, facts, documents_sha256(reading))
    writes = verdict.decision in (Decision.CREATED, Decision.UPDATED, Decision.LINKED)
    if writes and reading.problem is not None:
        return Verdict(Decision.FAILED, reading.reason, reading.problem)
    return verdict


def documents_sha256(reading: wire.Reading) -> str:
    """The digest of a set of documents: kinds and digests, in order."""
    if not reading.documents:
        return NO_DOCUMENTS
    lines = sorted(f"{document.kind}\0{document.sha256}\n" for document in reading.documents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class _AssetIds(dict[str, int | None]):
    """Asset ids by hash; None for what failed before it had a row."""

    def __missing__(self, _hash: str) -> None:
        return None


def _write_assets(tx: Tx, bundle: Bundle, facts: Facts, decided: Decided) -> None:
    by_hash = sorted(decided, key=lambda pair: pair[0].entry.asset_hash)
    ids = _AssetIds((hash_, asset.id) for hash_, asset in facts.assets.items())
    absent = [
        (piece, verdict)
        for piece, verdict in by_hash
        if piece.entry.asset_hash not in facts.assets and verdict.decision in (Decision.CREATED, Decision.SKIPPED)
    ]
    # INSERT never overwrites: whoever else inserted one of them meanwhile makes this transaction start over.
    ids.update(library.insert_assets(tx, bundle.version, [_new_asset(*pair, bundle.action) for pair in absent]))
    updated = [piece for piece, verdict in by_hash if verdict.decision is Decision.UPDATED]
    _overwrite(tx, bundle.version, updated, ids)
    removed = [piece for piece, verdict in by_hash if verdict.decision is Decision.REMOVED]
    library.remove_assets(tx, bundle.version, _ids(removed, ids))
    library.advance_assets(tx, bundle.version, _ids((p for p, verdict in by_hash if verdict.advances), ids))
    created = [piece for piece, verdict in absent if verdict.decision is Decision.CREATED]
    _write_parts(tx, bundle.version, [*created, *updated], ids)
    _link_own_covers(tx, bundle, facts, [*created, *updated], ids)


def _new_asset(piece: Piece, verdict: Verdict, action: Action) -> tuple[Any, ...]:
    entry = piece.entry
    tombstone = action is Action.REMOVE and verdict.decision is Decision.SKIPPED
    digests = (None, None) if tombstone else (entry.sha256, documents_sha256(piece.reading))
    return (entry.asset_type, entry.asset_hash, entry.title, entry.path, *digests, int(tombstone))


def _ids(pieces: Iterable[Piece], ids: _AssetIds) -> list[int]:
    found = (ids[piece.entry.asset_hash] for piece in pieces)
    return sorted(id_ for id_ in found if id_ is not None)


def _overwrite(tx: Tx, version: Version, updated: Sequence[Piece], ids: _AssetIds) -> None:
    rows = [
        (ids[p.entry.asset_hash], p.entry.title, p.entry.path, p.entry.sha256, documents_sha256(p.reading))
        for p in updated
    ]
    library.update_assets(tx, version, rows)
    library.retire(tx, _ids(updated, ids))


def _write_parts(tx: Tx, version: Version, pieces: Sequence[Piece], ids: _AssetIds) -> None:
    """Files and documents of assets that are created or overwritten; whatever was current before is retired already."""
    files: list[tuple[Any, ...]] = []
    sources: list[tuple[int, str, str]] = []
    ai_runs: list[tuple[int, str, str, str]] = []
    for piece in sorted(pieces, key=lambda piece: ids[piece.entry.asset_hash] or 0):
        asset_id = ids[piece.entry.asset_hash]
        assert asset_id is not None
        folder = piece.entry.path
        files += ((asset_id, f.variant, f"{folder}/{f.path}", f.bytes, f.sha256) for f in piece.entry.files)
        for document in sorted(piece.reading.documents, key=lambda d: (d.kind, d.sha256)):
            if document.kind == SOURCE:
                sources.append((asset_id, document.sha256, document.text))
            else:
                ai_runs.append((asset_id, document.kind, document.sha256, document.text))
    library.write_files(tx, version, files)
    library.write_sources(tx, version, sources)
    library.write_ai_runs(tx, version, ai_runs)


def _link_own_covers(tx: Tx, bundle: Bundle, facts: Facts, pieces: Sequence[Piece], ids: _AssetIds) -> None:
    rows = []
    for piece in pieces:
        cover = judge.own_cover(piece.entry, bundle, facts)
        if cover is not None:
            rows.append((ids[piece.entry.asset_hash], cover, None, None, None, 0))
    library.write_covers(tx, bundle.version, sorted(rows, key=lambda row: row[0] or 0))


def _write_covers(tx: Tx, bundle: Bundle, facts: Facts, decided: Decided) -> None:
    rows: dict[int, tuple[Any, ...]] = {}
    advancing: list[int] = []
    for piece, verdict in decided:
        parent = facts.assets.get(piece.entry.parent_hash or "")
        if parent is None:
            continue
        gone = verdict.decision is Decision.REMOVED or _is_tombstone(bundle, verdict)
        if gone or verdict.decision is Decision.LINKED:
            wanted = judge.wanted_cover(piece.entry, parent.id, bundle.version)
            rows[parent.id] = (parent.id, wanted.cover_hash, wanted.path, wanted.bytes, wanted.sha256, int(gone))
        if verdict.advances:
            advancing.append(parent.id)
    library.write_covers(tx, bundle.version, [rows[id_] for id_ in sorted(rows)])
    library.advance_covers(tx, bundle.version, sorted(advancing))


def _is_tombstone(bundle: Bundle, verdict: Verdict) -> bool:
    return bundle.action is Action.REMOVE and verdict.reason is Reason.TOMBSTONED


def _cover_targets(entry: Entry, facts: Facts) -> dict[str, Any]:
    parent = facts.assets.get(entry.parent_hash or "")
    targets: dict[str, Any] = {"cover_hash": entry.asset_hash, "parent_hash": entry.parent_hash}
    return {"asset_id": parent.id, **targets} if parent else targets

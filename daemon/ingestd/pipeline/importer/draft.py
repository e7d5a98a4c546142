"""What a chunk would write, decided ahead from what the library looked like a moment ago. Pure.

The import confirms under lock that the facts still hold; a draft that came too late is made anew from the locked rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingestd.bundle import wire
from ingestd.bundle.entry import Entry
from ingestd.model import Action, Decision, Verdict
from ingestd.pipeline.judge import Bundle, Facts, judge
from ingestd.store.item import OpenItem
from ingestd.store.values import Json, rows_json

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


@dataclass(frozen=True, slots=True)
class Draft:
    """A chunk of covers, or of other items, with a verdict each (in order of the manifest) and the rows that follow.

    `inserts` are new assets and tombstones, `updates` overwritten assets, `files` those of both; each in order of hash.
    """

    pieces: Sequence[Piece]
    facts: Facts
    verdicts: Sequence[Verdict]
    inserts: Sequence[Json] = ()
    updates: Sequence[Json] = ()
    files: Sequence[Json] = ()

    @property
    def is_of_covers(self) -> bool:
        return self.pieces[0].entry.is_cover

    def decided(self) -> Iterator[tuple[Piece, Verdict]]:
        return zip(self.pieces, self.verdicts, strict=True)

    def by_hash(self, *decisions: Decision) -> list[Piece]:
        """The pieces with one of these decisions, in order of hash."""
        chosen = [piece for piece, verdict in self.decided() if verdict.decision in decisions]
        return sorted(chosen, key=_hash_of)


def draft(bundle: Bundle, pieces: Sequence[Piece], facts: Facts) -> Draft:
    """Decides a chunk, of covers or of other items, and makes the rows."""
    digests = {piece.entry.ordinal: documents_sha256(piece.reading) for piece in pieces}
    verdicts = [_verdict(piece, bundle, facts, digests[piece.entry.ordinal]) for piece in pieces]
    made = Draft(pieces, facts, verdicts)
    if made.is_of_covers:
        return made
    known = facts.assets
    absent = [p for p in made.by_hash(Decision.CREATED, Decision.SKIPPED) if p.entry.asset_hash not in known]
    updated = made.by_hash(Decision.UPDATED)
    tombstones = bundle.action is Action.REMOVE
    inserts = [_insert(piece.entry, digests[piece.entry.ordinal], tombstone=tombstones) for piece in absent]
    updates = [(known[p.entry.asset_hash].id, *_content(p.entry, digests[p.entry.ordinal])) for p in updated]
    written = [*([] if tombstones else absent), *updated]
    files = [row for piece in sorted(written, key=_hash_of) for row in _files(piece.entry)]
    return Draft(pieces, facts, verdicts, rows_json(inserts), rows_json(updates), rows_json(files))


def _hash_of(piece: Piece) -> str:
    return piece.entry.asset_hash


def _verdict(piece: Piece, bundle: Bundle, facts: Facts, documents: str) -> Verdict:
    reading = piece.reading
    verdict = judge(piece.entry, bundle, facts, documents)
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


def _insert(entry: Entry, documents: str, *, tombstone: bool) -> tuple[Any, ...]:
    """A tombstone has no digests: whatever comes next differs from it."""
    content = (entry.title, entry.path, None, None) if tombstone else _content(entry, documents)
    return (entry.asset_type, entry.asset_hash, *content, int(tombstone))


def _content(entry: Entry, documents: str) -> tuple[Any, ...]:
    return (entry.title, entry.path, entry.sha256, documents)


def _files(entry: Entry) -> Iterator[tuple[Any, ...]]:
    for file in entry.files:
        yield (entry.asset_hash, file.variant, f"{entry.path}/{file.path}", file.bytes, file.sha256)

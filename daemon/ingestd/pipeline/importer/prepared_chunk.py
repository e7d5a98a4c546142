"""Chunks prepared ahead of their transaction: decisions, and the rows to write, from a state read without locks. Pure.

The transaction loads the state again under lock; if it has changed, the chunk is prepared again from the locked rows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from ingestd.decide import of_awaited
from ingestd.format.entry import Entry
from ingestd.model import Action, Decision, Reason, Verdict, numbers_of
from ingestd.mount.records import Reading
from ingestd.pipeline.evaluate import Bundle, LibraryState, evaluate, outranks_others
from ingestd.store.item import OpenItem
from ingestd.store.values import Json, Rows, rows_json, rows_of

if TYPE_CHECKING:
    from ingestd.pipeline.importer.chunk_rows import ChunkRows

NOTHING_READ = Reading(-1)
NO_DOCUMENTS = hashlib.sha256().hexdigest()
UNKNOWN_DOCUMENTS = ""


class ChunkItem(msgspec.Struct, frozen=True):
    """One item of a chunk: its row, its entry, and what was read of it."""

    row: OpenItem
    entry: Entry
    reading: Reading = msgspec.field(default_factory=lambda: NOTHING_READ)
    problem: Exception | None = None
    """an unforeseen error that kept it from being read"""

    @property
    def size(self) -> int:
        """Bytes that its documents add to statements."""
        return self.reading.size


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk of covers, or of other items, in order of the manifest, with a verdict for each and the rows to write.

    `inserts` are new assets, `tombstones` removed ones that no bundle delivered, `burials` those that were
    only named before, `updates` overwritten assets; `added` and `overwritten` are the items of new and of overwritten
    assets. Each is in order of hash.
    A chunk that could not be prepared has a `problem`, an unforeseen error, and no verdicts.
    """

    items: Sequence[ChunkItem]
    state: LibraryState
    verdicts: Sequence[Verdict]
    decisions: frozenset[Decision] = frozenset()
    """all that occur among the verdicts"""
    inserts: Sequence[Rows] = ()
    tombstones: Sequence[tuple[Any, ...]] = ()
    burials: Sequence[tuple[Any, ...]] = ()
    updates: Sequence[Json] = ()
    added: Sequence[ChunkItem] = ()
    overwritten: Sequence[ChunkItem] = ()
    rows: "ChunkRows | None" = None
    """what is sent of it, if that was made ready"""
    problem: Exception | None = None

    @property
    def is_of_covers(self) -> bool:
        return self.items[0].entry.is_cover

    @property
    def last_ordinal(self) -> int:
        return self.items[-1].entry.ordinal

    def decided(self) -> Iterator[tuple[ChunkItem, Verdict]]:
        return zip(self.items, self.verdicts, strict=True)

    def by_hash(self, *decisions: Decision) -> list[ChunkItem]:
        """The items with one of these decisions, in order of hash."""
        if self.decisions.isdisjoint(decisions):
            return []
        chosen = [chunk_item for chunk_item, verdict in self.decided() if verdict.decision in decisions]
        return sorted(chosen, key=_hash_of)


def prepare_chunk(bundle: Bundle, items: Sequence[ChunkItem], state: LibraryState) -> PreparedChunk:
    """Decides the items of a chunk, and makes the rows that follow from the decisions."""
    digests = {chunk_item.entry.ordinal: documents_sha256(chunk_item.reading) for chunk_item in items}
    verdicts = [_verdict(chunk_item, bundle, state, digests[chunk_item.entry.ordinal]) for chunk_item in items]
    made = PreparedChunk(items, state, verdicts, frozenset(verdict.decision for verdict, _ in numbers_of(verdicts)))
    if made.is_of_covers:
        return made
    known = state.assets
    new = sorted((p for p, verdict in made.decided() if _is_new(p, verdict, state)), key=_hash_of)
    absent = [p for p in new if p.entry.asset_hash not in known]
    named = [p for p in new if p.entry.asset_hash in known]
    if bundle.action is Action.REMOVE:
        tombstones, burials = [_tombstone(p.entry) for p in absent], [_burial(p.entry, state) for p in named]
        return replace(made, tombstones=tombstones, burials=burials)
    updated = sorted([*made.by_hash(Decision.UPDATED), *named], key=_hash_of)
    inserts = [_insert(p.entry, digests[p.entry.ordinal]) for p in absent]
    updates = [_update(p.entry, digests[p.entry.ordinal], state) for p in updated]
    stamp = (bundle.version.completed_at, bundle.version.sync_id)
    return replace(
        made, inserts=list(rows_of(inserts, *stamp)), updates=rows_json(updates), added=absent, overwritten=updated
    )


def _is_new(chunk_item: ChunkItem, verdict: Verdict, state: LibraryState) -> bool:
    """Whether an asset is to be written that no bundle delivered or removed before."""
    if verdict.reason is Reason.UNCHANGED or verdict.decision not in (Decision.CREATED, Decision.SKIPPED):
        return False
    stored = state.assets.get(chunk_item.entry.asset_hash)
    return stored is None or stored.asset_type is None


def _hash_of(chunk_item: ChunkItem) -> str:
    return chunk_item.entry.asset_hash


def _verdict(chunk_item: ChunkItem, bundle: Bundle, state: LibraryState, documents: str) -> Verdict:
    reading = chunk_item.reading
    verdict = evaluate(chunk_item.entry, bundle, state, documents)
    writes = verdict.decision in (Decision.CREATED, Decision.UPDATED, Decision.LINKED, Decision.DEFERRED)
    if reading.problem is not None and (writes or outranks_others(chunk_item.entry, bundle)):
        return Verdict(Decision.FAILED, reading.reason, reading.problem)
    return of_awaited(verdict) if chunk_item.row.decision == Decision.DEFERRED else verdict


def documents_sha256(reading: Reading) -> str:
    """The digest of a set of documents: kinds and digests, in order. Documents that were not read equal no others."""
    if reading.problem is not None:
        return UNKNOWN_DOCUMENTS
    if not reading.documents:
        return NO_DOCUMENTS
    lines = sorted(f"{document.kind}\0{document.sha256}\n" for document in reading.documents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _insert(entry: Entry, documents: str) -> tuple[Any, ...]:
    return (entry.asset_type, entry.asset_hash, *_content(entry, documents))


def _tombstone(entry: Entry) -> tuple[Any, ...]:
    """A row without digests, so every later delivery differs from it."""
    return (entry.asset_type, entry.asset_hash, entry.title, entry.path)


def _update(entry: Entry, documents: str, state: LibraryState) -> tuple[Any, ...]:
    stored = state.assets[entry.asset_hash]
    return (stored.id, entry.asset_type, int(stored.asset_type is None), *_content(entry, documents))


def _burial(entry: Entry, state: LibraryState) -> tuple[Any, ...]:
    return (state.assets[entry.asset_hash].id, entry.asset_type, entry.title, entry.path)


def _content(entry: Entry, documents: str) -> tuple[Any, ...]:
    return (entry.title, entry.path, entry.sha256, documents)


def file_rows(items: Iterable[ChunkItem]) -> Iterator[tuple[Any, ...]]:
    """The files that some items list, each with the hash of its asset ahead."""
    for entry in (chunk_item.entry for chunk_item in items):
        for file in entry.files:
            yield (entry.asset_hash, file.variant, f"{entry.path}/{file.path}", file.bytes, file.sha256)

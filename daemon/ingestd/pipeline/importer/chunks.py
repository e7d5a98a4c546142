"""Prepares chunks: which items are next, what the mount says of them, and what is to be written if nothing changes.

Long runs prepare the next chunk in a thread of its own while the present one is written.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from ingestd.bundle.manifest import Manifest
from ingestd.bundle.reader import Reader
from ingestd.model import Action, Scope
from ingestd.pipeline.ahead import one_ahead
from ingestd.pipeline.importer.draft import NOTHING_READ, Draft, Piece, draft
from ingestd.pipeline.judge import Bundle, gather
from ingestd.store import item
from ingestd.store.db import Database

MAX_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Chunks:
    """Where the chunks of one run come from. `covers`: the covers of the batch, or all other items."""

    db: Database
    batch_id: int
    scope: Scope
    manifest: Manifest
    bundle: Bundle
    reader: Reader
    covers: bool

    def prepare(self, after: int, most: int) -> list[Piece]:
        """The next pieces after ordinal `after`, in order; an empty list at the end."""
        rows = self.db.read(
            lambda tx: item.chunk(tx, self.batch_id, self.scope, covers=self.covers, after=after, most=most)
        )
        entries = [self.manifest.entry(row.ordinal) for row in rows]
        readings = self.reader.read(entries) if self.manifest.action is not Action.REMOVE else {}
        return [
            Piece(row, entry, readings.get(row.ordinal, NOTHING_READ)) for row, entry in zip(rows, entries, strict=True)
        ]

    def draft(self, pieces: Sequence[Piece]) -> Draft:
        """What would be written of some pieces, from facts read without a lock."""
        facts = self.db.read(lambda tx: gather(tx, self.bundle, [piece.entry for piece in pieces]))
        return draft(self.bundle, pieces, facts)

    def each(self, size: Callable[[], int]) -> Generator[Draft, None, None]:
        """All chunks, one after another; `size` says how many items the next one may have."""
        after = -1
        while pieces := self.prepare(after, size()):
            yield from map(self.draft, bounded(pieces))
            after = pieces[-1].entry.ordinal

    def each_ahead(self, size: int) -> Generator[Draft, None, None]:
        """As `each`, with the next chunk being prepared meanwhile."""
        return one_ahead(self.each(lambda: size), self.db.close)


def bounded(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Cuts a chunk where its documents would make statements too large for one packet."""
    part: list[Piece] = []
    size = 0
    for piece in pieces:
        if part and size + piece.size > MAX_CHUNK_BYTES:
            yield part
            part, size = [], 0
        part.append(piece)
        size += piece.size
    yield part

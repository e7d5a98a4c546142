"""Prepares chunks: which items are next, their entries, and what the mount says of them.

Long runs prepare the next chunk in a thread of its own while the present one is written.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from ingestd.bundle.manifest import Manifest
from ingestd.bundle.reader import Reader
from ingestd.model import Action, Scope
from ingestd.pipeline.ahead import one_ahead
from ingestd.pipeline.importer.chunk import NOTHING_READ, Piece
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

    def each(self, size: Callable[[], int]) -> Generator[list[Piece], None, None]:
        """All chunks, one after another; `size` says how many items the next one may have."""
        after = -1
        while pieces := self.prepare(after, size()):
            yield from bounded(pieces)
            after = pieces[-1].entry.ordinal

    def each_ahead(self, size: int) -> Generator[list[Piece], None, None]:
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

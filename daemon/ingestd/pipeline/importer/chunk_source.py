"""Prepares chunks: which items are next, what the mount says of them, and what is to be written if nothing changes.

Long runs prepare the next chunk in a thread of its own while the present one is written.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from ingestd.format.manifest import Manifest
from ingestd.model import Action, Scope
from ingestd.mount.reader import ItemReader
from ingestd.pipeline.evaluate import Bundle, load_state
from ingestd.pipeline.importer.prepared_chunk import NOTHING_READ, ChunkItem, PreparedChunk, prepare_chunk
from ingestd.pipeline.prefetch import prefetch
from ingestd.store import item
from ingestd.store.db import Database

MAX_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """Where the chunks of one run come from. `covers`: the covers of the batch, or all other items."""

    db: Database
    batch_id: int
    scope: Scope
    manifest: Manifest
    bundle: Bundle
    reader: ItemReader
    covers: bool

    def prepare(self, after: int, limit: int) -> list[ChunkItem]:
        """The next pieces after ordinal `after`, in order; an empty list at the end."""
        rows = self.db.read(
            lambda tx: item.chunk(tx, self.batch_id, self.scope, covers=self.covers, after=after, limit=limit)
        )
        entries = [self.manifest.entry(row.ordinal) for row in rows]
        readings = self.reader.read(entries) if self.manifest.action is not Action.REMOVE else {}
        return [
            ChunkItem(row, entry, readings.get(row.ordinal, NOTHING_READ))
            for row, entry in zip(rows, entries, strict=True)
        ]

    def prepare_chunk(self, items: Sequence[ChunkItem]) -> PreparedChunk:
        """What would be written of some pieces, from facts read without a lock."""
        state = self.db.read(lambda tx: load_state(tx, self.bundle, [chunk_item.entry for chunk_item in items]))
        return prepare_chunk(self.bundle, items, state)

    def each(self, size: Callable[[], int]) -> Generator[PreparedChunk, None, None]:
        """All chunks, one after another; `size` says how many items the next one may have."""
        after = -1
        while items := self.prepare(after, size()):
            yield from map(self.prepare_chunk, bounded(items))
            after = items[-1].entry.ordinal

    def prefetched(self, size: int) -> Generator[PreparedChunk, None, None]:
        """As `each`, with the next chunk being prepared meanwhile."""
        return prefetch(self.each(lambda: size), self.db.close)


def bounded(items: list[ChunkItem]) -> Iterator[list[ChunkItem]]:
    """Cuts a chunk where its documents would make statements too large for one packet."""
    part: list[ChunkItem] = []
    size = 0
    for chunk_item in items:
        if part and size + chunk_item.size > MAX_CHUNK_BYTES:
            yield part
            part, size = [], 0
        part.append(chunk_item)
        size += chunk_item.size
    yield part

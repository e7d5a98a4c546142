"""Prepares chunks: selects the next items, reads them from the mount, and decides what would be written.

Long runs prepare the next chunk in a thread of its own while the current one is written.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from ingestd.format.manifest import Manifest
from ingestd.model import Action, Lease
from ingestd.mount.reader import ItemReader
from ingestd.pipeline.evaluate import Bundle, load_state
from ingestd.pipeline.importer.prepared_chunk import NOTHING_READ, ChunkItem, PreparedChunk, prepare_chunk
from ingestd.pipeline.prefetch import prefetch
from ingestd.store import item
from ingestd.store.db import Database

MAX_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """The chunks of one run: the covers of its batch (`covers`), or all other items."""

    db: Database
    lease: Lease
    manifest: Manifest
    bundle: Bundle
    reader: ItemReader
    covers: bool

    def each(self, size: Callable[[], int]) -> Generator[PreparedChunk, None, None]:
        """Yields all chunks, in order of the manifest. `size()` is the largest number of items of the next one."""
        after = -1
        while items := self._next_items(after, size()):
            yield from map(self._prepare, split_by_bytes(items))
            after = items[-1].entry.ordinal

    def prefetched(self, size: int) -> Generator[PreparedChunk, None, None]:
        """As `each`, with the next chunk prepared while the caller works on the current one."""
        return prefetch(self.each(lambda: size), self.db.close)

    def _next_items(self, after: int, limit: int) -> list[ChunkItem]:
        """The next items after ordinal `after`, and what was read of them; an empty list at the end."""
        batch_id, scope = self.lease.batch_id, self.lease.scope
        rows = self.db.read(lambda tx: item.chunk(tx, batch_id, scope, covers=self.covers, after=after, limit=limit))
        entries = [self.manifest.entry(row.ordinal) for row in rows]
        readings = self.reader.read(entries) if self.manifest.action is not Action.REMOVE else {}
        return [
            ChunkItem(row, entry, readings.get(row.ordinal, NOTHING_READ))
            for row, entry in zip(rows, entries, strict=True)
        ]

    def _prepare(self, items: Sequence[ChunkItem]) -> PreparedChunk:
        """What would be written of some items, from a state of the library read without a lock."""
        state = self.db.read(lambda tx: load_state(tx, self.bundle, [chunk_item.entry for chunk_item in items]))
        return prepare_chunk(self.bundle, items, state)


def split_by_bytes(items: list[ChunkItem]) -> Iterator[list[ChunkItem]]:
    """Splits items where their documents would make statements too large for one packet."""
    part: list[ChunkItem] = []
    size = 0
    for chunk_item in items:
        if part and size + chunk_item.size > MAX_CHUNK_BYTES:
            yield part
            part, size = [], 0
        part.append(chunk_item)
        size += chunk_item.size
    yield part

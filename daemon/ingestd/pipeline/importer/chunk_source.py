"""Prepares chunks: selects the next items, reads them from the mount, and decides what would be written.

Long runs prepare the next chunk in a thread of its own while the current one is written.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog

from ingestd.errors import DatabaseUnavailable
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Action, Lease
from ingestd.mount.reader import ItemReader
from ingestd.pipeline.evaluate import Bundle, LibraryState, load_state
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, prepare_chunk
from ingestd.pipeline.importer.suspects import is_of_run
from ingestd.pipeline.prefetch import prefetch
from ingestd.store import item
from ingestd.store.db import Database, Tx
from ingestd.store.item import OpenItem

log = structlog.get_logger()

T = TypeVar("T")

MAX_CHUNK_BYTES = 4 * 2**20
AHEAD_RETRY_SECONDS = 5.0


class Read(Protocol):
    """Runs work that only reads, and returns its result."""

    def __call__(self, work: Callable[[Tx], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """The chunks of one run: the covers of its batch (`covers`), or all other items.

    `read` reads from `db` and waits out its outages; it is used in the thread of the run only.
    """

    db: Database
    read: Read
    lease: Lease
    manifest: Manifest
    bundle: Bundle
    reader: ItemReader
    covers: bool

    def each(self, size: Callable[[], int], after: int = -1) -> Generator[PreparedChunk, None, None]:
        """Yields the chunks of all items after ordinal `after`, in order. `size()` limits the items of the next one."""
        while items := self._next_items(after, size()):
            yield from map(self.prepare, split_by_bytes(items))
            after = items[-1].entry.ordinal

    def prefetched(self, size: int) -> Generator[PreparedChunk, None, None]:
        """As `each`, with the next chunk prepared while the caller works on the current one.

        That needs a second connection. While the server has none to spare, the run goes on with its own.
        """
        ahead, after = replace(self, read=partial(self.db.read, keep_waiting=lambda: False)), -1
        while True:
            try:
                with closing(prefetch(ahead.each(lambda: size, after))) as chunks:
                    for chunk in chunks:
                        yield chunk
                        after = chunk.last_ordinal
                return
            except DatabaseUnavailable as error:
                log.debug("not_read_ahead", error=str(error))
            until = time.monotonic() + AHEAD_RETRY_SECONDS
            for chunk in self.each(lambda: size, after):
                yield chunk
                after = chunk.last_ordinal
                if time.monotonic() >= until:
                    break
            else:
                return

    def _next_items(self, after: int, limit: int) -> list[ChunkItem]:
        """The next items after ordinal `after`, as many as fit into memory with what was read; empty at the end."""
        batch_id, scope = self.lease.batch_id, self.lease.scope
        rows = self.read(lambda tx: item.chunk(tx, batch_id, scope, covers=self.covers, after=after, limit=limit))
        entries = [self.manifest.entry(row.ordinal) for row in rows]
        if self.manifest.action is Action.REMOVE:
            return [ChunkItem(row, entry) for row, entry in zip(rows, entries, strict=True)]
        try:
            return self._read(rows, entries)
        except Exception as error:
            if is_of_run(error):
                raise
            if len(rows) > 1:
                return self._next_items(after, len(rows) // 2)
            return [ChunkItem(rows[0], entries[0], problem=error)]

    def _read(self, rows: Sequence[OpenItem], entries: Sequence[Entry]) -> list[ChunkItem]:
        readings = self.reader.read(entries)
        found = [(row, entry, readings.get(row.ordinal)) for row, entry in zip(rows, entries, strict=True)]
        return [ChunkItem(row, entry, reading) for row, entry, reading in found if reading is not None]

    def prepare(self, items: Sequence[ChunkItem]) -> PreparedChunk:
        """What would be written of some items, from a state of the library read without a lock."""
        try:
            if items[0].problem is not None:
                raise items[0].problem
            state = self.read(lambda tx: load_state(tx, self.bundle, [chunk_item.entry for chunk_item in items]))
            return prepare_chunk(self.bundle, items, state)
        except Exception as error:
            if is_of_run(error):
                raise
            return PreparedChunk(items, LibraryState(), (), problem=error)

    def again(self, chunk_item: ChunkItem) -> PreparedChunk:
        """A chunk of one item that is read once more."""
        is_read = self.manifest.action is not Action.REMOVE
        return self.prepare(self._read([chunk_item.row], [chunk_item.entry]) if is_read else [chunk_item])


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

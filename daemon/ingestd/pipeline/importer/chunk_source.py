"""Prepares chunks: selects the next items, reads them from the mount, and decides what would be written.

Long runs read the next items in one thread, and decide those before in another one, while a chunk is written.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog
from msgspec import structs

from ingestd.errors import DatabaseUnavailable, Shortage
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Action, Lease
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.reader import ItemReader
from ingestd.pipeline.evaluate import Bundle, LibraryState, load_state
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.importer import chunk_rows
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, prepare_chunk
from ingestd.pipeline.importer.suspects import is_of_run
from ingestd.pipeline.prefetch import prefetch
from ingestd.store.db import Database, Tx
from ingestd.store.item import OpenItem

log = structlog.get_logger()

T = TypeVar("T")

MAX_CHUNK_BYTES = 4 * 2**20
AHEAD_RETRY_SECONDS = 5.0
MAX_LATE = 1000


class Select(Protocol):
    """The next items of a batch after ordinal `after`, in order."""

    def __call__(self, tx: Tx, /, *, after: int, limit: int) -> list[OpenItem]: ...


class Read(Protocol):
    """Runs work that only reads, and returns its result."""

    def __call__(self, work: Callable[[Tx], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """The chunks of some items of one run: covers, or others.

    `read` reads from `db` and waits out its outages; it is used in the thread of the run only.
    """

    db: Database
    read: Read
    lease: Lease
    manifest: Manifest
    bundle: Bundle
    reader: ItemReader
    select: Select
    found: FoundAssets | None = None
    """what was found of the assets before: none is looked up then, and the transaction that writes compares them"""
    late: dict[int, ChunkItem] = field(default_factory=dict)
    """items by ordinal that could not be read at present"""

    def each(
        self, size: Callable[[], int], after: int = -1, *, in_thread: bool = False
    ) -> Generator[PreparedChunk, None, None]:
        """Yields the chunks of all items after ordinal `after`, in order. `size()` limits the items of the next one.

        Items that cannot be read at present come last, so that they delay no others. `in_thread`: the next items are
        read in a thread of their own while a chunk is decided.
        """
        read = self._read_each(size, after)
        with closing(prefetch(read) if in_thread else read) as parts:
            for items in parts:
                yield from self._chunks(items)
                del items  # their documents need not be in memory while the next are read
        until = self.reader.settled_at()
        while self.late:
            yield from self._chunks(self._read_late(size(), until))

    def _read_each(self, size: Callable[[], int], after: int) -> Generator[list[ChunkItem], None, None]:
        """Yields the items after ordinal `after` with what was read of them, but for those that are late."""
        limit = size()
        while rows := self._rows(after, limit):
            after, items = self._next(rows)
            yield items
            del items
            if len(rows) < limit and after == rows[-1].ordinal:
                break  # to find that no more are left, the server would look through the rest of the batch
            limit = size()

    def _chunks(self, items: Sequence[ChunkItem]) -> Iterator[PreparedChunk]:
        for part in split_by_bytes(items):
            chunk = self.prepare(part)
            for chunk_item in part if self.late else ():
                self.late.pop(chunk_item.row.ordinal, None)
            yield chunk

    def prefetched(self, size: int) -> Generator[PreparedChunk, None, None]:
        """As `each`, with the next chunk prepared while the caller works on the current one.

        That needs a second connection, and a thread, or two where the mount is far: elsewhere the second one only makes
        the others wait for Python's lock. While there are none to spare, the run goes on with its own.
        """
        ahead, after = replace(self, read=partial(self.db.read, keep_waiting=lambda: False)), -1
        while True:
            try:
                with closing(prefetch(ahead.each(lambda: size, after, in_thread=self.reader.is_far))) as chunks:
                    for chunk in chunks:
                        yield chunk
                        after = max(after, chunk.last_ordinal)
                return
            except (DatabaseUnavailable, Shortage) as error:
                log.debug("not_read_ahead", error=str(error))
            until = time.monotonic() + AHEAD_RETRY_SECONDS
            for chunk in self.each(lambda: size, after):
                yield chunk
                after = max(after, chunk.last_ordinal)
                if time.monotonic() >= until:
                    break
            else:
                return

    def _rows(self, after: int, limit: int) -> list[OpenItem]:
        return self.read(lambda tx: self.select(tx, after=after, limit=limit))

    def _next(self, rows: Sequence[OpenItem]) -> tuple[int, list[ChunkItem]]:
        """The first of some items, as many as fit into memory with what was read, and the last ordinal looked at."""
        entries = [self.manifest.entry(row.ordinal) for row in rows]
        if self.manifest.action is Action.REMOVE:
            return rows[-1].ordinal, list(map(ChunkItem, rows, entries))
        try:
            readings, left_out = self._read_once(entries)
        except Exception as error:
            if is_of_run(error):
                raise
            if len(rows) > 1:
                return self._next(rows[: len(rows) // 2])
            return rows[0].ordinal, [ChunkItem(rows[0], entries[0], problem=error)]
        if left_out:
            found = zip(rows, entries, strict=True)
            self.late.update((row.ordinal, ChunkItem(row, entry)) for row, entry in found if row.ordinal in left_out)
        return max([*readings, *left_out]), _with_readings(rows, entries, readings)

    def _read_once(self, entries: Sequence[Entry]) -> tuple[ReadingsByOrdinal, set[int]]:
        """What can be read at present. When many items are late, the cause is not a few of them, and all wait."""
        return self.reader.read_once(entries) if len(self.late) < MAX_LATE else (self.reader.read(entries), set())

    def _read_late(self, limit: int, until: float) -> list[ChunkItem]:
        """Those of the late items that can be read by now; after `until` (monotonic seconds) they fail otherwise."""
        late = [self.late[ordinal] for ordinal in sorted(self.late)[:limit]]
        rows, entries = [late_item.row for late_item in late], [late_item.entry for late_item in late]
        try:
            return _with_readings(rows, entries, self.reader.read_some(entries, until))
        except Exception as error:
            if is_of_run(error):
                raise
            return (
                self._read_late(len(late) // 2, until) if len(late) > 1 else [structs.replace(late[0], problem=error)]
            )

    def prepare(self, items: Sequence[ChunkItem]) -> PreparedChunk:
        """What would be written of some items, from a state of the library read without a lock."""
        try:
            if items[0].problem is not None:
                raise items[0].problem
            chunk = prepare_chunk(self.bundle, items, self._state(items))
            return chunk_rows.ready(chunk, self.lease.batch_id, self.bundle.version)
        except Exception as error:
            if is_of_run(error):
                raise
            return PreparedChunk(items, LibraryState(), (), problem=error)

    def _state(self, items: Sequence[ChunkItem]) -> LibraryState:
        entries = [chunk_item.entry for chunk_item in items]
        if self.found is not None:
            return self.read(partial(self.found.state, entries=entries))
        return self.read(lambda tx: load_state(tx, self.bundle, entries))

    def again(self, chunk_item: ChunkItem) -> PreparedChunk:
        """A chunk of one item that is read once more."""
        if self.manifest.action is Action.REMOVE:
            return self.prepare([chunk_item])
        entries = [chunk_item.entry]
        return self.prepare(_with_readings([chunk_item.row], entries, self.reader.read(entries)))


def _with_readings(rows: Sequence[OpenItem], entries: Sequence[Entry], readings: ReadingsByOrdinal) -> list[ChunkItem]:
    """The items of which there is a reading."""
    found = [(row, entry, readings.get(row.ordinal)) for row, entry in zip(rows, entries, strict=True)]
    return [ChunkItem(row, entry, reading) for row, entry, reading in found if reading is not None]


def split_by_bytes(items: Sequence[ChunkItem]) -> Iterator[list[ChunkItem]]:
    """Splits items where their documents would make statements too large for one packet."""
    part: list[ChunkItem] = []
    size = 0
    for chunk_item in items:
        if part and size + chunk_item.size > MAX_CHUNK_BYTES:
            yield part
            part, size = [], 0
        part.append(chunk_item)
        size += chunk_item.size
    if part:
        yield part

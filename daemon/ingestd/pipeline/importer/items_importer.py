"""Imports the items of one run, chunk by chunk; an item that cannot be imported fails alone."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ingestd.model import Decision, Lease, Reason, Verdict, numbers_of
from ingestd.pipeline.context import Context
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer import chunk_writer, suspects
from ingestd.pipeline.importer.chunk_source import ChunkSource
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk
from ingestd.pipeline.importer.suspects import Suspect, Suspects
from ingestd.pipeline.removals import RemovalCount
from ingestd.store.db import Tx
from ingestd.wording import counted

MAX_CRASHES = 3


class ChunkTransaction:
    """Writes one chunk; is run again as a whole when the server gives the transaction up in favour of another."""

    def __init__(self, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> None:
        self._bundle, self._chunk, self._removed = bundle, chunk, removed
        self._was_tried = False

    def __call__(self, tx: Tx) -> Sequence[Verdict]:
        # A failed attempt met another writer, so nothing that the chunk was prepared from can be relied on.
        reload_all, self._was_tried = self._was_tried, True
        return chunk_writer.write(tx, self._bundle, self._chunk, self._removed, reload_all)


@dataclass(frozen=True, slots=True)
class ItemsImporter:
    """Imports items for one run; counts the decisions in `progress`, and what they take out of sight in `removed`."""

    context: Context
    lease: Lease
    fence: Fence
    bundle: Bundle
    progress: Progress
    removed: RemovalCount
    chunks: ChunkSource
    suspects: Suspects

    def import_all(self) -> None:
        """Imports all chunks.

        Raises Stopping, LeaseLost, DatabaseUnavailable, MountUnavailable; RemovalRefused ahead of a chunk that would
        exceed the limit; an unforeseen error that is not about single items.
        """
        size = self.context.settings.worker.chunk_items
        isolate_until = 2 * size if self.lease.isolate_items else 0
        with closing(self._prepared(size, isolate_until)) as prepared:
            try:
                for chunk in prepared:
                    self.fence.check()
                    if self.progress.seen < isolate_until:
                        self._import_isolated(chunk)
                    else:
                        self._import_chunk(chunk)
                    del chunk  # as in ChunkSource.each
                self.suspects.end()
            except BaseException:
                self.fence.abandon()
                raise

    def _prepared(self, size: int, isolate_until: int) -> Generator[PreparedChunk, None, None]:
        """The chunks to import, prepared ahead where there are several and none is to be isolated."""
        remaining = self.lease.items_total - self.lease.items_done
        if isolate_until or remaining <= size:
            return self.chunks.each(lambda: 1 if self.progress.seen < isolate_until else size)
        return self.chunks.prefetched(size)

    def _import_isolated(self, chunk: PreparedChunk) -> None:
        """Imports item by item and records each before it begins, so that a crash can be traced to its item."""
        for item in chunk.items:
            if item.row.crash_count >= MAX_CRASHES:
                error = f"{counted(item.row.crash_count, 'worker')} died while importing this item"
                self._fail_item(item, Verdict(Decision.FAILED, Reason.POISON, error))
                continue
            self.fence.fenced(lambda _tx: None, current_item_id=item.row.id)
            self._import_chunk(chunk if len(chunk.items) == 1 else self.chunks.prepare([item]))

    def _import_chunk(self, chunk: PreparedChunk) -> None:
        """Writes a chunk; one that cannot be written is halved until the offending item stands alone."""
        try:
            self._write(chunk)
        except Exception as error:
            if suspects.is_of_run(error):
                raise
            self._split(chunk.items, error)
        else:
            self.suspects.passed()

    def _write(self, chunk: PreparedChunk) -> None:
        if chunk.problem is not None:
            raise chunk.problem
        write = ChunkTransaction(self.bundle, chunk, self.removed)
        with self.context.instruments.chunk_duration.time():
            verdicts = self.fence.fenced(write, done=len(chunk.items))
        self._count(verdicts)

    def _split(self, items: Sequence[ChunkItem], error: Exception) -> None:
        if len(items) == 1:
            self._fail_or_wait(items[0], error)
            return
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            self.fence.check()
            self._import_chunk(self.chunks.prepare(half))

    def _fail_or_wait(self, item: ChunkItem, error: Exception) -> None:
        """Fails an item that cannot be imported alone, at once if others are known to pass."""
        suspect = Suspect(partial(self._try_again, item), partial(self._fail_item, item))
        failed_so = item.row.decision == Decision.FAILED and item.row.reason == suspects.verdict_on(error).reason
        if failed_so or suspects.is_certain(error):
            suspects.fail(suspect, error)
        else:
            self.suspects.add(suspect, error)

    def _try_again(self, item: ChunkItem) -> None:
        self._write(self.chunks.again(item))

    def _fail_item(self, item: ChunkItem, verdict: Verdict) -> None:
        self.fence.fenced(lambda tx: chunk_writer.fail(tx, self.lease.batch_id, item, verdict), done=1)
        self._count([verdict])

    def _count(self, verdicts: Iterable[Verdict]) -> None:
        for verdict, number in numbers_of(verdicts):
            decision, reason = verdict.decision, verdict.reason
            self.progress.note(decision, number)
            self.context.instruments.items.labels(decision.value).inc(number)
            if decision is Decision.FAILED:
                self.context.instruments.item_failures.labels(reason).inc(number)

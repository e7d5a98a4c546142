"""Imports a small bundle in one transaction: its plan, its items, its containers, and the end of its job.

What stands in its way rolls all of it back. The bundle is then imported step by step: that knows what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ingestd.errors import RemovalRefused
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Action, BatchStatus, Lease
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.reader import FirstTry, ItemReader
from ingestd.mount.records import Reading
from ingestd.pipeline import evaluate, preflight
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.importer import chunk_writer, completion, container_writer, first_import
from ingestd.pipeline.importer.chunk_source import MAX_CHUNK_BYTES
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.container_writer import ListedContainer
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.imported import Imported, InSteps
from ingestd.pipeline.importer.opened import Opened
from ingestd.pipeline.importer.opening import Opening
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, prepare_chunk
from ingestd.pipeline.importer.suspects import is_of_run
from ingestd.pipeline.passes import Part
from ingestd.store import batch_container, item
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_CONTAINERS = 20
"""each keeps other bundles with the same ones waiting until the end"""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Imports the bundle of one run if it is small, and counts in `progress`.

    `first_try` keeps what `reader` reads, for a bundle that is imported step by step after all.
    """

    context: Context
    lease: Lease
    fence: Fence
    opening: Opening
    reader: ItemReader
    first_try: FirstTry
    progress: Progress

    def run(self, delivered: Delivery, manifest: Manifest) -> BatchStatus | None:
        """The status of the batch afterwards; None if it has to be imported step by step.

        Raises LeaseLost, Stopping, DatabaseUnavailable, MountUnavailable.
        """
        try:
            readings = self._readings(manifest, self._entries(delivered, manifest))
            with self.context.instruments.chunk_duration.time():
                done = self.fence.guarded(lambda tx: self._import(tx, delivered, manifest, readings))
        except Exception as error:
            if is_of_run(error) and not isinstance(error, RemovalRefused):
                raise
            log.debug("imported_in_steps", reason=str(error))  # it comes again in its step, and is reported there
            return None
        self._count(done)
        return done.status

    def _entries(self, delivered: Delivery, manifest: Manifest) -> list[Entry]:
        """What the manifest lists. Raises InSteps if that is too much, or if this run may leave out some of it."""
        if not self.lease.scope.takes_everything or self.lease.isolate_items or self.lease.items_done:
            raise InSteps("only some of its items are imported")
        if delivered.index.item_count > self.context.settings.worker.chunk_items:
            raise InSteps("it has many items")
        if manifest.distinct_containers > MAX_CONTAINERS:
            raise InSteps("it has many containers")
        return list(manifest.standing())

    def _readings(self, manifest: Manifest, entries: Sequence[Entry]) -> ReadingsByOrdinal:
        """What was read of each item. Raises InSteps unless all can be read now, and fit into one chunk."""
        if manifest.action is Action.REMOVE:
            return {entry.ordinal: Reading(entry.ordinal) for entry in entries}
        readings, left_out = self.reader.read_once(entries)
        self.first_try.keep(readings, left_out)
        if left_out or len(readings) < len(entries):
            raise InSteps("some of its items cannot be read at present")
        if any(reading.problem for reading in readings.values()):
            raise InSteps("some of its items cannot be read")
        if sum(reading.size for reading in readings.values()) > MAX_CHUNK_BYTES:
            raise InSteps("its documents are long")
        return readings

    def _import(self, tx: Tx, delivered: Delivery, manifest: Manifest, readings: ReadingsByOrdinal) -> Imported:
        begun, obstacle = self.opening.begin(tx, delivered, manifest)
        if obstacle is None and (done := first_import.run(tx, self.lease, begun, readings)) is not None:
            return done
        if obstacle is None:
            opened, obstacle = self.opening.plan(tx, begun)
        if obstacle is not None:
            raise InSteps(str(obstacle)) from obstacle
        return self._import_rows(tx, opened, readings)

    def _import_rows(self, tx: Tx, opened: Opened, readings: ReadingsByOrdinal) -> Imported:
        """Imports a planned batch."""
        done = Imported(opened.plan, Progress(opened.terminal))
        listed = self._containers(tx, opened)
        rows = container_writer.write_rows(tx, opened.bundle, [one.container for one in listed])
        for part in (Part.ITEM, Part.COVER):
            self._import_items(tx, opened, done, part, readings)
        if listed:
            done.parts.add(Part.CONTAINER)
            container_writer.write_members(tx, opened.bundle, listed, rows, opened.removed)
        self.lease.items_done += done.progress.seen
        done.status = completion.finish(tx, self.lease, done.progress, is_counted=opened.plan is not None)
        return done

    def _import_items(self, tx: Tx, opened: Opened, done: Imported, part: Part, readings: ReadingsByOrdinal) -> None:
        wanted = {"after": -1, "limit": len(readings)}
        if not any(opened.manifest.entry(ordinal).is_cover is (part is Part.COVER) for ordinal in readings):
            return
        rows = item.chunk(tx, batch_id=self.lease.batch_id, scope=self.lease.scope, covers=part is Part.COVER, **wanted)
        items = [ChunkItem(row, opened.manifest.entry(row.ordinal), readings[row.ordinal]) for row in rows]
        if items:
            state = evaluate.load_state(tx, opened.bundle, [one.entry for one in items], lock=True)
            chunk = prepare_chunk(opened.bundle, items, state)
            done.note(part, chunk.verdicts)
            chunk_writer.write_locked(tx, opened.bundle, chunk, opened.removed)

    def _containers(self, tx: Tx, opened: Opened) -> list[ListedContainer]:
        """The containers to import. Their rows are locked before assets, as by batches of containers."""
        containers = list(opened.manifest.containers())
        rows = batch_container.undecided(tx, self.lease.batch_id, self.lease.scope) if containers else {}
        return [ListedContainer(rows[c.identity], c) for c in containers if c.identity in rows]

    def _count(self, done: Imported) -> None:
        """Counts what was committed."""
        if done.plan is not None:
            preflight.count(self.context, done.plan)
        self.progress.terminal, self.progress.seen = done.progress.terminal, done.progress.seen
        self.progress.tally = done.progress.tally
        for (decision, _reason), number in done.decisions.items():
            self.context.instruments.items.labels(decision.value).inc(number)
        for part in done.parts:
            self.context.passes.note_pass(part)

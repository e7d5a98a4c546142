"""Imports the bundle of one run step by step: its plan, its items, its containers, and the end of its job."""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ingestd.model import SUCCEEDED, TAKEN_BY, Action, BatchStatus, Decision, Lease
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.reader import FirstTry, ItemReader
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import completion, new_items
from ingestd.pipeline.importer.at_once import AtOnce
from ingestd.pipeline.importer.chunk_source import ChunkSource, Select
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.containers_importer import ContainersImporter
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.grace import COVERS, ITEMS, MANIFEST, Grace
from ingestd.pipeline.importer.items_importer import ItemsImporter
from ingestd.pipeline.importer.next_covers import Contest
from ingestd.pipeline.importer.opened import Opened
from ingestd.pipeline.importer.opening import Opening
from ingestd.pipeline.importer.suspects import Suspects
from ingestd.pipeline.passes import Part
from ingestd.store import batch, item
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem

PARTS = ((Part.ITEM, ITEMS), (Part.COVER, COVERS))
"""in order of import: the parents of covers exist by then"""


def _listed(rows: Sequence[OpenItem], _tx: Tx, /, *, after: int, limit: int) -> list[OpenItem]:
    start = bisect_right(rows, after, key=lambda row: row.ordinal)
    return list(rows[start : start + limit])


@dataclass(slots=True)
class BundleImporter:
    """Imports the bundle of one run, whose decisions it counts in `progress`.

    The mount must stay the one that `identity` describes.
    """

    context: Context
    lease: Lease
    fence: Fence
    progress: Progress
    identity: MountIdentity
    late_until: float = 0.0
    """until when (monotonic) a remote file system may not list yet what the bundle brought"""
    is_trusted: bool = False
    first_try: FirstTry = field(default_factory=FirstTry)

    def import_all(self) -> BatchStatus:
        """Imports what is left to import, and ends the job. Raises what `Opening.read` and `ItemsImporter` raise."""
        self.late_until = self._listings_late_until()
        opening = Opening(self.context, self.lease, self.fence, self.identity, self._grace(MANIFEST), self.first_try)
        delivered, manifest = opening.read()
        at_once = AtOnce(
            self.context, self.lease, self.fence, opening, self._reader(ITEMS), self.first_try, self.progress
        )
        status = at_once.run(delivered, manifest)
        if status is None:
            opened = opening.open(delivered, manifest)
            self.progress.terminal = opened.terminal
            self.progress.planned = self.lease.items_total if opened.has_new_items else 0
            self._import_items(opened)
            self._import_containers(opened)
            status = self.fence.guarded(lambda tx: self._finish(tx, opened))
        self.context.passes.forget(manifest.sha256)
        return status

    def _finish(self, tx: Tx, opened: Opened) -> BatchStatus:
        if opened.has_new_items:
            # Until all of them have rows, there is no plan that another run could go on with.
            batch.set_plan(tx, self.lease.batch_id, opened.manifest.sha256)
        return completion.finish(tx, self.lease, self.progress)

    def _import_items(self, opened: Opened) -> None:
        """Imports the items that this run takes up, and those that count in place of others that failed."""
        # Where what failed is not tried again, others count in its place from the beginning.
        tries_failed = Decision.FAILED.value in TAKEN_BY[self.lease.scope]
        elected = [] if tries_failed else self._contest(opened).elect()
        self._take_back(elected)
        for part, cause, select in self._parts(opened):
            self._import_part(opened, part, self._reader(cause), select)
        self._import_elected(opened, elected)
        contest = self._contest(opened)
        while elected := contest.elect():
            self._take_back(elected)
            self._import_elected(opened, elected)

    def _parts(self, opened: Opened) -> Iterator[tuple[Part, str, Select]]:
        """What is imported, in this order: the part, why it may be waited for, and what selects its items."""
        if opened.has_new_items:
            yield Part.ITEM, ITEMS, partial(new_items.select, opened.manifest)
            return
        of_batch = partial(item.chunk, batch_id=self.lease.batch_id, scope=self.lease.scope)
        for part, cause in PARTS if opened.manifest.index.has_covers else PARTS[:1]:
            yield part, cause, partial(of_batch, covers=part is Part.COVER)

    def _contest(self, opened: Opened) -> Contest:
        is_needed = opened.bundle.action is not Action.REMOVE and self._has_failed()
        batch_id = self.lease.batch_id if is_needed else None
        return Contest(self.fence.read, self.fence.on_step, batch_id, opened.bundle)

    def _has_failed(self) -> bool:
        """Whether an item of the batch has failed, in this run or before."""
        return bool(self.fence.read(lambda tx: item.tally(tx, self.lease.batch_id))[Decision.FAILED.value])

    def _take_back(self, elected: Sequence[OpenItem]) -> None:
        """Forgets what was decided of items that are taken up again, as far as they were counted."""
        if counted := [row for row in elected if row.decision in SUCCEEDED]:
            self.progress.take_back(Counter(row.decision for row in counted))
            self.fence.fenced(lambda _tx: None, done=-len(counted))

    def _import_elected(self, opened: Opened, elected: Sequence[OpenItem]) -> None:
        """Takes items up again, because another one that counted in their place has failed."""
        for part, cause in PARTS:
            rows = [row for row in elected if opened.manifest.entry(row.ordinal).is_cover is (part is Part.COVER)]
            if rows:
                self._import_part(opened, part, self._reader(cause), partial(_listed, rows))

    def _import_part(self, opened: Opened, part: Part, reader: ItemReader, select: Select) -> None:
        of_run = (self.context, self.lease, self.fence, opened.bundle, self.progress, opened.removed)
        chunks = ChunkSource(
            self.context.db, self.fence.read, self.lease, opened.manifest, opened.bundle, reader, select, opened.found
        )
        ItemsImporter(*of_run, chunks, self._suspects(opened, part)).import_all()

    def _reader(self, cause: str) -> ItemReader:
        grace, fence = self._grace(cause), self.fence
        waits = (grace.pause, fence.on_bytes, self.late_until, self._require_trusted, grace.settled_at)
        return ItemReader(
            self.context.mount, self.identity, *waits, bundle=str(self.lease.batch_id), first_try=self.first_try
        )

    def _import_containers(self, opened: Opened) -> None:
        of_run = (self.lease, self.fence, opened.bundle, opened.removed)
        suspects = self._suspects(opened, Part.CONTAINER)
        of_context = (self.context.instruments, self.context.settings.worker.chunk_items)
        ContainersImporter(*of_run, suspects, *of_context).import_all(opened.manifest.containers())

    def _grace(self, cause: str) -> Grace:
        return Grace.of_job(self.context, self.lease.job_id, cause, self.fence.pause)

    def _suspects(self, opened: Opened, part: Part) -> Suspects:
        return Suspects(self.fence.pause, self.context.passes, opened.manifest.sha256, part)

    def _require_trusted(self) -> None:
        """Raises MountReplaced when the mount is not the one of this batch. It stays the same during a run."""
        if not self.is_trusted:
            self.context.gate.require_trusted(self.lease.batch_id)
            self.is_trusted = True

    def _listings_late_until(self) -> float:
        """Until when (monotonic) a remote file system may not list yet what the bundle brought."""
        if not self.context.mount.is_remote:
            return 0.0
        age = self.fence.read(lambda tx: batch.age(tx, self.lease.batch_id))
        return time.monotonic() + self.context.settings.mount.settle_seconds - age

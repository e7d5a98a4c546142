"""Runs one claimed job from its manifest to its end. Every transaction that writes for it ends with the fence."""

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial

import structlog
from structlog.contextvars import bind_contextvars

from ingestd.errors import (
    DatabaseUnavailable,
    IngestdError,
    LeaseLost,
    ManifestError,
    MountReplaced,
    MountUnavailable,
    NotSettled,
    PriorFirst,
    ReadsHang,
    RemovalRefused,
    Shortage,
    Stopping,
    unforeseen,
)
from ingestd.model import SUCCEEDED, Action, BatchStatus, Decision, InvalidBasis, Lease
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.reader import ItemReader
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import completion
from ingestd.pipeline.importer.chunk_source import ChunkSource, Select
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.containers_importer import ContainersImporter
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.grace import COVERS, ITEMS, MANIFEST, MEMORY, PROBLEMS, Grace
from ingestd.pipeline.importer.items_importer import ItemsImporter
from ingestd.pipeline.importer.next_covers import Contest
from ingestd.pipeline.importer.opening import Opened, Opening
from ingestd.pipeline.importer.suspects import Suspects
from ingestd.pipeline.passes import Part
from ingestd.shortage import shortage_of
from ingestd.store import batch, item
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem

log = structlog.get_logger()

MAX_ERROR = 4000
"""characters of an error that the rows of batch and job keep"""
PARTS = ((Part.ITEM, ITEMS), (Part.COVER, COVERS))
"""in order of import: the parents of covers exist by then"""


def _listed(rows: Sequence[OpenItem], _tx: Tx, /, *, after: int, limit: int) -> list[OpenItem]:
    start = bisect_right(rows, after, key=lambda row: row.ordinal)
    return list(rows[start : start + limit])


class Run:
    """One run of one job. `tick` shows that the worker's thread is alive."""

    def __init__(
        self, context: Context, lease: Lease, stopping: threading.Event, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._context, self._lease = context, lease
        self._fence = Fence(context, lease, stopping, tick)
        self._progress = Progress()
        self._is_trusted = False
        self._identity: MountIdentity | None = None

    def execute(self) -> str:
        """Runs the job; returns how the run ended: done, failed, aside, released or lost."""
        # In a context of its own, so that the keys added to log lines end with the run.
        return copy_context().run(self._execute)

    def _execute(self) -> str:
        lease = self._lease
        bind_contextvars(job_id=lease.job_id, worker=lease.worker_id, claim_token=lease.token)
        try:
            return self._import()
        except Stopping:
            return self._release("stopping")
        except PriorFirst:
            return self._release("prior_first")
        except NotSettled as error:
            return self._set_aside(error)
        except Shortage as error:
            return self._release_for(error)
        except MountUnavailable as error:
            return self._leave_mount(error)
        except (LeaseLost, DatabaseUnavailable) as error:
            return self._lose(error)
        except ManifestError as error:
            return self._end_failed(partial(completion.invalidate, basis=InvalidBasis(error.basis)), str(error))
        except RemovalRefused as error:
            return self._end_failed(partial(completion.refuse, refusal=error), str(error))
        except IngestdError as error:
            return self._fail(str(error))
        except Exception as error:  # noqa: BLE001  an unforeseen error ends this job, not the thread
            return self._end_unforeseen(error)

    def _import(self) -> str:
        identity = self._identity = self._context.mount.check()
        opened = Opening(self._context, self._lease, self._fence, identity, self._grace(MANIFEST)).open()
        self._progress.terminal = opened.terminal
        self._import_items(opened, identity)
        self._import_containers(opened)
        status = self._fence.guarded(lambda tx: completion.finish(tx, self._lease, self._progress))
        self._context.passes.forget(opened.manifest.sha256)
        report = log.warning if status is BatchStatus.FAILED else log.info
        report("job_finished", outcome="done", status=status.value, **self._progress.tally)
        return "done"

    def _import_items(self, opened: Opened, identity: MountIdentity) -> None:
        """Imports the items that this run takes up, and those that count in place of others that failed."""
        scope, batch_id = self._lease.scope, self._lease.batch_id
        late_until = self._listings_late_until()
        # Where what failed is not tried again, others count in its place from the beginning.
        tries_failed = Decision.FAILED.value in item.TAKEN_BY[scope]
        elected = [] if tries_failed else self._contest(opened).elect()
        self._take_back(elected)
        for part, cause in PARTS:
            select = partial(item.chunk, batch_id=batch_id, scope=scope, covers=part is Part.COVER)
            self._import_part(opened, part, self._reader(identity, late_until, cause), select)
        self._import_elected(opened, identity, late_until, elected)
        contest = self._contest(opened)
        while elected := contest.elect():
            self._take_back(elected)
            self._import_elected(opened, identity, late_until, elected)

    def _contest(self, opened: Opened) -> Contest:
        is_needed = opened.bundle.action is not Action.REMOVE and self._has_failed()
        batch_id = self._lease.batch_id if is_needed else None
        return Contest(self._fence.read, self._fence.on_step, batch_id, opened.bundle)

    def _has_failed(self) -> bool:
        """Whether an item of the batch has failed, in this run or before."""
        return bool(self._fence.read(lambda tx: item.tally(tx, self._lease.batch_id))[Decision.FAILED.value])

    def _take_back(self, elected: Sequence[OpenItem]) -> None:
        """Forgets what was decided of items that are taken up again, as far as they were counted."""
        if counted := [row for row in elected if row.decision in SUCCEEDED]:
            self._progress.take_back(Counter(row.decision for row in counted))
            self._fence.fenced(lambda _tx: None, done=-len(counted))

    def _import_elected(
        self, opened: Opened, identity: MountIdentity, late_until: float, elected: Sequence[OpenItem]
    ) -> None:
        """Takes items up again, because another one that counted in their place has failed."""
        for part, cause in PARTS:
            rows = [row for row in elected if opened.manifest.entry(row.ordinal).is_cover is (part is Part.COVER)]
            if rows:
                self._import_part(opened, part, self._reader(identity, late_until, cause), partial(_listed, rows))

    def _import_part(self, opened: Opened, part: Part, reader: ItemReader, select: Select) -> None:
        of_run = (self._context, self._lease, self._fence, opened.bundle, self._progress, opened.removed)
        chunks = ChunkSource(
            self._context.db, self._fence.read, self._lease, opened.manifest, opened.bundle, reader, select
        )
        ItemsImporter(*of_run, chunks, self._suspects(opened, part)).import_all()

    def _reader(self, identity: MountIdentity, late_until: float, cause: str) -> ItemReader:
        grace, fence = self._grace(cause), self._fence
        waits = (grace.pause, fence.on_bytes, late_until, self._require_trusted, grace.settled_at)
        return ItemReader(self._context.mount, identity, *waits, bundle=str(self._lease.batch_id))

    def _import_containers(self, opened: Opened) -> None:
        of_run = (self._lease, self._fence, opened.bundle, opened.removed)
        suspects = self._suspects(opened, Part.CONTAINER)
        ContainersImporter(*of_run, suspects, self._context.instruments).import_all(opened.manifest.containers())

    def _grace(self, cause: str) -> Grace:
        seconds = self._context.settings.mount.settle_seconds
        return Grace(self._context.unsettled, self._lease.job_id, cause, seconds, self._fence.pause)

    def _suspects(self, opened: Opened, part: Part) -> Suspects:
        return Suspects(self._fence.pause, self._context.passes, opened.manifest.sha256, part)

    def _require_trusted(self) -> None:
        """Raises MountReplaced when the mount is not the one of this batch. It stays the same during a run."""
        if not self._is_trusted:
            self._context.gate.require_trusted(self._lease.batch_id)
            self._is_trusted = True

    def _listings_late_until(self) -> float:
        """Until when (monotonic) a remote file system may not list yet what the bundle brought."""
        if not self._context.mount.is_remote:
            return 0.0
        age = self._fence.read(lambda tx: batch.age(tx, self._lease.batch_id))
        return time.monotonic() + self._context.settings.mount.settle_seconds - age

    # how a run ends before its time

    def _end_unforeseen(self, error: Exception) -> str:
        if (shortage := shortage_of(error)) is not None:
            return self._release_for(shortage)
        if isinstance(error, MemoryError) and time.monotonic() < self._grace(MEMORY).settled_at():
            # The bundle may be what needs so much. So only this job waits, and for a limited time.
            return self._set_aside(NotSettled(MEMORY, PROBLEMS[MEMORY]))
        log.exception("job_crashed")
        return self._fail(unforeseen(error))

    def _release_for(self, shortage: Shortage) -> str:
        """Gives the job back. All jobs lack the same, so that this one is not set aside, and all are claimed slowly."""
        self._context.unsettled.forget(self._lease.job_id)
        return self._release("shortage", error=str(shortage))

    def _leave_mount(self, error: MountUnavailable) -> str:
        """Gives the job back when the mount is gone; when it is still there, only this bundle cannot be read."""
        try:
            reason = self._reason_to_release(error)
        except DatabaseUnavailable as unknown:
            return self._lose(unknown)
        if reason is None:
            return self._fail(str(error))
        log.warning("mount_lost", error=str(error))
        return self._release(reason)

    def _reason_to_release(self, error: MountUnavailable) -> str | None:
        try:
            if self._identity is None or isinstance(error, MountReplaced | ReadsHang):
                raise error
            self._context.mount.require_same(self._identity)
        except MountReplaced:
            self._close_gate()
            return "mount_replaced"
        except MountUnavailable:
            return "mount_unavailable"
        return None

    def _close_gate(self) -> None:
        """Keeps this job and others from being claimed on the other file system, if that was found during this run."""
        found, expected = self._context.mount.origin, self._identity
        if found is not None and expected is not None and not found.is_same(expected.origin):
            self._context.gate.refuse(expected.origin, found)

    def _set_aside(self, error: NotSettled) -> str:
        """Gives the job back for a while. Where the run came further, the time that it may take begins again.

        An item that failed does not count: each run takes it up again.
        """
        job_id, unsettled = self._lease.job_id, self._context.unsettled
        began_at: float | None = self._lease.claimed_at
        if any(self._progress.tally[decision.value] for decision in SUCCEEDED):
            unsettled.forget(job_id)
            began_at = None
        unsettled.add(job_id, error.cause, self._context.settings.mount.settle_seconds, error.sync_id, began_at)
        problem = storable(f"waiting, and tried again: {error}")
        ended = self._release(error.cause, lambda tx: batch.note_error(tx, self._lease.batch_id, problem))
        return "aside" if ended == "released" else ended

    def _fail(self, error: str) -> str:
        return self._end_failed(partial(completion.fail, pauses=self._context.settings.queue.retry_pauses), error)

    def _end_failed(self, work: Callable[[Tx, Lease, Progress, str], BatchStatus], error: str) -> str:
        """Ends the job as failed. `work` does, and returns the status of the batch."""
        text = storable(error)
        ended = self._end(lambda tx: work(tx, self._lease, self._progress, text))
        if ended is None:
            return "lost"
        log.warning("job_finished", outcome="failed", status=ended.value, reason=text)
        return "failed"

    def _release(self, reason: str, note: Callable[[Tx], object] = lambda _tx: None, **keys: str) -> str:
        ended = self._end(lambda tx: (note(tx), completion.release(tx, self._lease, reason))[1])
        if ended is None:
            return "lost"
        log.warning("job_released", outcome="released", reason=reason, **keys)
        return "released"

    def _end(self, work: Callable[[Tx], BatchStatus]) -> BatchStatus | None:
        """Ends the job in one transaction; None if that is not possible, and then the worker puts the job back."""
        try:
            return self._fence.guarded(work)
        except (LeaseLost, DatabaseUnavailable) as error:
            self._lose(error)
        except IngestdError as error:
            log.error("job_not_ended", error=str(error))
        return None

    def _lose(self, error: LeaseLost | DatabaseUnavailable) -> str:
        if isinstance(error, LeaseLost):
            self._context.instruments.leases_lost.inc()
            log.warning("lease_lost", error=str(error))
        else:
            log.warning("job_abandoned", error=str(error))
        return "lost"


def storable(error: str) -> str:
    """An error as any column of text can hold it: without lone surrogates, and not too long."""
    return error.encode("utf-8", "backslashreplace").decode()[:MAX_ERROR]

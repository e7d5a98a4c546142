"""Runs one claimed job from its manifest to its end. Every transaction that writes for it ends with the fence."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

import structlog
from structlog.contextvars import bind_contextvars

from ingestd.errors import (
    DatabaseUnavailable,
    IngestdError,
    LeaseLost,
    ManifestError,
    MountGone,
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
from ingestd.model import SUCCEEDED, BatchStatus, InvalidBasis, Lease
from ingestd.mount.mountinfo import MountIdentity
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import completion
from ingestd.pipeline.importer.bundle_importer import BundleImporter
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.grace import MEMORY, PROBLEMS, Grace
from ingestd.shortage import shortage_of
from ingestd.store import batch
from ingestd.store.db import Tx

log = structlog.get_logger()

CHECK_SECONDS = 1.0
"""how old a check of the mount may be"""
MAX_ERROR = 4000
"""characters of an error that the rows of batch and job keep"""


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
        self._fence.check()
        # Before a problem of a file is recorded, the mount is checked again in any case.
        identity = self._identity = self._context.mount.recent_identity(CHECK_SECONDS)
        importer = BundleImporter(self._context, self._lease, self._fence, self._progress, identity)
        status = importer.import_all()
        report = log.warning if status is BatchStatus.FAILED else log.info
        report("job_finished", outcome="done", status=status.value, **self._progress.tally)
        return "done"

    # how a run ends before its time

    def _end_unforeseen(self, error: Exception) -> str:
        if (shortage := shortage_of(error)) is not None:
            return self._release_for(shortage)
        grace = Grace.of_job(self._context, self._lease.job_id, MEMORY, self._fence.pause)
        if isinstance(error, MemoryError) and time.monotonic() < grace.settled_at():
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
            if self._identity is None or isinstance(error, MountGone | MountReplaced | ReadsHang):
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

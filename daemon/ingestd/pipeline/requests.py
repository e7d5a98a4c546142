"""Runs accepted requests: rows of ingest_request, which any host may claim and any host can answer.

Each kind has its own runner, in the thread that owns what the work needs: a scan runs in the scanner's thread, a
pre-flight in a thread that makes one plan after another. Both kinds may run twice without harm, so a request whose
process died or fell silent is queued again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import structlog

from ingestd.errors import DatabaseContention, DataRefused, IngestdError, ManifestUnsettled, Unavailable
from ingestd.model import RequestKind
from ingestd.pipeline.claim_pace import ClaimPace
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Fate, Instance, worker_id
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.scanner import PATIENCE, Scanner
from ingestd.pipeline.worker_pool import UNTIL_WOKEN, is_open
from ingestd.shortage import shortage_of
from ingestd.store import request
from ingestd.store.db import Tx
from ingestd.store.request import Claim, Running

log = structlog.get_logger()

MAX_SYNC_IDS = 10_000
MAX_UNRECORDED = 20
"""sync_ids in the result of a scan"""
KEEP_SECONDS, DELETE_ROWS = 7 * 86400.0, 500
MAX_RESETS = 3
CRASHED = f"the daemons that ran it died or fell silent {MAX_RESETS} times; their logs may have the reason"
UNEXPECTED = "it failed unexpectedly; the log of the daemon that ran it has the details"

FRESH_HEARTBEATS = 3
"""A heartbeat that is younger than so many intervals is a sign of life, whatever a fingerprint seems to say."""

Work = Callable[[Claim], dict[str, Any]]
HadTime = Callable[[Running], bool]
"""Whether the process of a request had time to send a heartbeat."""


class RequestRunner:
    """Claims the queued requests of one kind and runs them, one at a time.

    An outage of the database or the mount puts the request back into the queue. Any other error ends it as failed.
    """

    def __init__(self, context: Context, instance: Instance, kind: RequestKind, work: Work) -> None:
        self._context, self._instance, self._kind, self._work = context, str(instance), kind, work
        self._stopping = threading.Event()
        self._pace = ClaimPace()
        self._claim: Claim | None = None

    @property
    def claims(self) -> list[Claim]:
        """The running request, if there is one."""
        claim = self._claim
        return [] if claim is None else [claim]

    def run_next(self) -> bool:
        """Runs the next queued request. False if there is none, the mount is absent, or the daemon is stopping."""
        if self._stopping.is_set() or not is_open(self._context) or self._pace.delay() > 0.0:
            return False
        claim = self._claim_next()
        if claim is None:
            self._pace.unused()
            return False
        self._claim, claimed_at = claim, time.monotonic()
        try:
            self._run(claim)
        except Unavailable:
            self._pace.released(claimed_at)
            raise
        finally:
            self._claim = None
        self._pace.ended()
        return True

    def stop(self) -> None:
        """Stops claiming, and stops waiting for the database."""
        self._stopping.set()

    def _claim_next(self) -> Claim | None:
        def work(tx: Tx) -> Claim | None:
            patience = self._context.settings.worker.patience
            return request.claim_next(tx, self._kind, worker_id(self._kind), self._instance, patience)

        return self._context.db.transaction(work)

    def _run(self, claim: Claim) -> None:
        log.info("request_claimed", kind=self._kind, request_id=claim.request_id, sync_id=claim.sync_id)
        try:
            with mount_checked(self._context):
                result = self._work(claim)
        except Unavailable:
            self._release(claim)
            raise
        except IngestdError as error:
            self._finish(claim, None, str(error))
        except Exception as error:
            if (shortage := shortage_of(error)) is not None:
                self._release(claim)
                raise shortage from error
            self._finish(claim, None, UNEXPECTED)
            raise
        else:
            self._finish(claim, result, None)

    def _finish(self, claim: Claim, result: dict[str, Any] | None, error: str | None) -> None:
        ended = self._write(partial(request.finish, claim=claim, result=result, error=error))
        keys = {"kind": self._kind, "request_id": claim.request_id, "sync_id": claim.sync_id}
        if not ended:
            log.warning("request_lost", **keys)
        elif error is not None:
            log.warning("request_failed", error=error, **keys)
        else:
            log.info("request_done", **keys)

    def _release(self, claim: Claim) -> None:
        if self._write(partial(request.release, claim=claim)):
            log.warning("request_released", kind=self._kind, request_id=claim.request_id)

    def _write(self, work: Callable[[Tx], bool]) -> bool:
        """Waits for the database: until it knows better, it takes the request for running."""
        try:
            return self._context.db.transaction(work, keep_waiting=lambda: not self._stopping.is_set())
        except DataRefused as refused:
            log.error("request_not_ended", kind=self._kind, error=str(refused))
            return False


class ScanStep:
    """The scanner's step: a requested full scan if `notify` said that one is queued, then the scanner's own round."""

    def __init__(self, context: Context, instance: Instance, scanner: Scanner) -> None:
        self._scanner = scanner
        self._is_notified = threading.Event()
        self.runner = RequestRunner(context, instance, RequestKind.SCAN, self._scan)

    def notify(self) -> None:
        """Makes the next round look for a queued request; wake the service afterwards."""
        self._is_notified.set()

    def run_once(self) -> float:
        if self._is_notified.is_set():
            self._is_notified.clear()
            self.runner.run_next()
        return self._scanner.run_once()

    def _scan(self, _claim: Claim) -> dict[str, Any]:
        changed = self._scanner.scan(PATIENCE)
        ignored = self._scanner.ignored
        names = {"ignored_names": ignored.first, "ignored_count": ignored.count}
        waiting = self._scanner.unrecorded_reasons
        first = dict(islice(waiting.items(), MAX_UNRECORDED))
        unrecorded = {"unrecorded": len(waiting), "unrecorded_ids": list(first), "unrecorded_reasons": first}
        return {"sync_ids": changed[:MAX_SYNC_IDS], **unrecorded, **names}


class PreflightStep:
    """Makes one requested plan a round; when none is left, deletes requests that ended long ago."""

    def __init__(self, context: Context, instance: Instance) -> None:
        self._context = context
        self.runner = RequestRunner(context, instance, RequestKind.PREFLIGHT, self._plan)

    def run_once(self) -> float:
        if self.runner.run_next():
            return 0.0
        delete = partial(request.delete_finished, keep_seconds=KEEP_SECONDS, limit=DELETE_ROWS)
        deleted = self._context.db.transaction(delete)
        return 0.0 if deleted == DELETE_ROWS else UNTIL_WOKEN

    def _plan(self, claim: Claim) -> dict[str, Any]:
        assert claim.sync_id is not None, "a pre-flight is requested for a batch"
        return plan(self._context, claim.sync_id)


def plan(context: Context, sync_id: str) -> dict[str, Any]:
    """The plan of a batch, as the interface shows it."""
    made = preflight(context, sync_id)
    return {"sync_id": sync_id, **made, "ok": bool(made["ok"])}


@contextmanager
def mount_checked(context: Context) -> Iterator[None]:
    """Turns an unreadable manifest into MountUnavailable if the mount is absent: then the bundle is not at fault."""
    try:
        yield
    except ManifestUnsettled:
        context.mount.check()
        raise


def reset_dead(context: Context, instance: Instance) -> bool:
    """Puts back the requests that dead processes of this machine were running."""
    return _reset(context, lambda found: instance.fate_of(found.instance) is Fate.DEAD)


def reset_uncertain(context: Context, instance: Instance, had_time: HadTime) -> bool:
    """Puts back requests of what may be an earlier boot of this machine, and that have been silent for some beats."""
    return _reset(context, lambda found: found.is_silent and had_time(found) and is_uncertain(instance, found))


def is_uncertain(instance: Instance, found: Running) -> bool:
    return instance.fate_of(found.instance) is Fate.UNCERTAIN


def reset_stale(context: Context, had_time: HadTime) -> bool:
    """Puts back the requests of any host whose heartbeat is older than its own `worker.stale_after`."""
    return _reset(context, lambda found: found.is_stale and had_time(found))


def _reset(context: Context, is_lost: Callable[[Running], bool]) -> bool:
    """Puts back what is lost; returns whether some of it is left for later, because others hold its rows."""
    running = context.db.read(
        partial(request.running, beats=FRESH_HEARTBEATS, default=context.settings.worker.patience)
    )
    is_any_locked = False
    for found in filter(is_lost, running):
        reset = partial(request.reset, found=found, max_resets=MAX_RESETS, error=CRASHED)
        try:
            if context.db.transaction_at_once(reset):
                log.warning("request_reset", request_id=found.claim.request_id, claimed_by=found.instance)
        except DatabaseContention as error:
            log.info("request_locked", request_id=found.claim.request_id, reason=str(error))
            is_any_locked = True
        except DataRefused as refused:
            log.error("request_not_reset", request_id=found.claim.request_id, error=str(refused))
    return is_any_locked

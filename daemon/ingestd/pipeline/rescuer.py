"""Puts the jobs of dead and silent workers back into the queue, each by one guarded update by primary key."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

import structlog

from ingestd.errors import DatabaseContention, DataRefused, LeaseLost
from ingestd.model import BatchStatus, Lease
from ingestd.pipeline import ordering, requests, status
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Fate, Instance, host
from ingestd.pipeline.importer import completion
from ingestd.pipeline.requests import FRESH_HEARTBEATS
from ingestd.store import batch, item, job, ledger
from ingestd.store.db import Tx
from ingestd.store.job import Running
from ingestd.store.queries import server
from ingestd.store.request import Running as RunningRequest

log = structlog.get_logger()

MAX_INTERVAL, LOCKED_INTERVAL = 60.0, 5.0
LOG_LOCKED_SECONDS = 60.0
HEARTBEATS_BEFORE_RESET = 4
MAX_MEASUREMENTS = 3
MAX_CRASHES, MAX_LOOKS = 3, 100
"""workers that may crash in a row while they open a job; batches whose status a round checks"""
CRASHED = f"{MAX_CRASHES} workers in a row crashed while they opened this job; their logs may have the reason"


class Rescuer:
    """Resets the jobs of dead processes of this machine at start, and from then on stale jobs of any host.

    Jobs that seem to be of an earlier boot of this machine, or of another pid namespace, may as well be those of a
    clone of it: they are reset at start, too, but only when their heartbeat stays away.
    """

    def __init__(self, context: Context, instance: Instance, on_reset: Callable[[], None] = lambda: None) -> None:
        self._context, self._instance, self._on_reset = context, instance, on_reset
        self._started_at: float | None = None
        self._is_starting = True
        self._was_any_locked = False
        """whether this round left a job for the next one, because others hold its row"""
        self._logged_locked: dict[int, float] = {}
        """jobs that were logged as locked, and when (monotonic)"""
        self._ahead: datetime | None = None
        """the server's clock when the monotonic clock of this process was zero"""
        self._checked_up_to = dict.fromkeys((BatchStatus.QUEUED, BatchStatus.IMPORTING), 0)
        """the ids after which the next round goes on to check batches that should have an active job"""

    def run_once(self) -> float:
        """One round; returns the seconds until the next one."""
        count, self._was_any_locked = 0, False
        if self._is_starting:
            count += self.reset_dead()
            self._was_any_locked |= requests.reset_dead(self._context, self._instance)
            self._started_at = self._started_at or time.monotonic()
        self._notice_set_clock()
        count += self.reset_stale()
        self._was_any_locked |= requests.reset_stale(self._context, self._had_time)
        if self._is_starting:
            count += self._reset_uncertain()
        if count:
            self._on_reset()
        self._correct_statuses()
        settings = self._context.settings.worker
        longest = LOCKED_INTERVAL if self._was_any_locked else MAX_INTERVAL
        return min(longest, settings.stale_after / 4, settings.heartbeat_seconds * 2)

    def _correct_statuses(self) -> None:
        """Computes the status of batches whose active job ended without it, by hand or with a restored backup."""
        for batch_id in [found for kind in self._checked_up_to for found in self._without_job(kind)]:
            try:
                corrected = self._context.db.transaction_at_once(partial(_correct_status, batch_id=batch_id))
            except (DatabaseContention, DataRefused) as error:
                log.debug("status_not_corrected", batch_id=batch_id, error=str(error))
            else:
                log.warning("status_corrected", batch_id=batch_id, status=corrected.value)

    def _without_job(self, kind: BatchStatus) -> list[int]:
        """Those of the next batches of a status that have no active job. A queue may be long: rounds take turns."""
        look = partial(batch.without_active_job, status=kind, after=self._checked_up_to[kind], limit=MAX_LOOKS)
        found, self._checked_up_to[kind] = self._context.db.read(look)
        return found

    def reset_dead(self) -> int:
        """Resets jobs whose process on this machine is certainly gone."""
        running = self._context.db.read(lambda tx: job.running_on(tx, self._instance.machine_id))
        jobs_of = Counter(found.claimed_by for found in running)
        dead = [found for found in running if self._is_dead(found)]
        each = (found if jobs_of[found.claimed_by] == 1 else found.unblamed for found in dead)
        return sum(self._reset(found, job.reset_dead) for found in each)

    def reset_stale(self) -> int:
        """Resets jobs whose heartbeat is older than `worker.stale_after` of the host that runs them."""
        patience = self._context.settings.worker.patience
        found = self._context.db.read(lambda tx: job.stale(tx, patience))
        return self._reset_silent(found, partial(job.reset_stale, default=patience))

    def _reset_uncertain(self) -> int:
        """Resets jobs and requests of what may be an earlier boot, without a heartbeat for three intervals.

        For the last time when each heartbeat from before the start is as old as that.
        """
        patience = self._context.settings.worker.patience
        assert self._started_at is not None
        is_over = time.monotonic() - self._started_at > FRESH_HEARTBEATS * patience.heartbeat
        self._was_any_locked |= requests.reset_uncertain(self._context, self._instance, self._had_time)
        silent = self._context.db.read(lambda tx: job.silent(tx, FRESH_HEARTBEATS, patience))
        uncertain = [found for found in silent if self._instance.fate_of(found.instance) is Fate.UNCERTAIN]
        count = self._reset_silent(uncertain, partial(job.reset_silent, beats=FRESH_HEARTBEATS, default=patience))
        self._is_starting = not is_over or self._was_any_locked
        return count

    def _reset_silent(self, silent: Iterable[Running], update: Callable[[Tx, Running], bool]) -> int:
        return sum(self._reset(found, update) for found in silent if self._had_time(found))

    def _is_dead(self, found: Running) -> bool:
        return self._instance.fate_of(found.instance) is Fate.DEAD

    def _notice_set_clock(self) -> None:
        """Waits as after an outage when the clock of the server was set: workers first get time to send a heartbeat."""
        ahead = self._measured_ahead()
        if ahead is None:
            return
        last, self._ahead = self._ahead or ahead, ahead
        if abs((ahead - last).total_seconds()) > self._context.settings.worker.stale_after / 2:
            log.warning("clock_set", seconds=round((ahead - last).total_seconds()))
            self._context.db.note_outage()
            self._context.db.note_available()

    def _measured_ahead(self) -> datetime | None:
        """The server's clock when the monotonic clock of this process was zero; None if each reply took too long.

        Half of the time that a reply takes may be wrong, twice: so that must be far less than the step looked for.
        """
        longest = self._context.settings.worker.stale_after / 4
        for _ in range(MAX_MEASUREMENTS):
            before = time.monotonic()
            now = self._context.db.read(server.now)
            after = time.monotonic()
            if after - before < longest:
                return now - timedelta(seconds=(before + after) / 2)
        return None

    def _had_time(self, found: Running | RunningRequest) -> bool:
        """Whether its old heartbeat means that it is dead: after an outage, workers first get time to send some."""
        since = self._context.db.available_since
        interval = max(self._context.settings.worker.heartbeat_seconds, found.heartbeat_interval or 0.0)
        had_time = since is not None and time.monotonic() - since >= HEARTBEATS_BEFORE_RESET * interval
        return had_time or (since is not None and not self._context.db.had_outage)

    def _note_locked(self, job_id: int, error: DatabaseContention) -> None:
        """Logged for each job once, and again while that lasts."""
        self._was_any_locked = True
        now = time.monotonic()
        if now - self._logged_locked.get(job_id, -math.inf) >= LOG_LOCKED_SECONDS:
            fresh = {known: at for known, at in self._logged_locked.items() if now - at < LOG_LOCKED_SECONDS}
            self._logged_locked = {**fresh, job_id: now}
            log.info("job_locked", job_id=job_id, reason=str(error))

    def _reset(self, found: Running, guarded_update: Callable[[Tx, Running], bool]) -> int:
        try:
            done = self._context.db.transaction_at_once(lambda tx: self._reset_in(tx, found, guarded_update))
        except LeaseLost:
            return 0
        except DatabaseContention as error:
            self._note_locked(found.id, error)
            return 0
        except DataRefused as refused:
            log.error("job_not_reset", job_id=found.id, error=str(refused))
            return 0
        if done:
            self._context.instruments.stale_resets.inc()
            log.warning("job_reset", job_id=found.id, prior_claimed_by=found.claimed_by, stuck=found.stuck)
        return int(done)

    def _reset_in(self, tx: Tx, found: Running, guarded_update: Callable[[Tx, Running], bool]) -> bool:
        # Locks the batch before the job, as every transaction that ends a run does.
        batch.lock_by_id(tx, found.batch_id)
        if found.crashes >= MAX_CRASHES and self._is_dead(found):
            self._give_up(tx, found)
            return True
        if not guarded_update(tx, found):
            return False
        # Silence is not a crash: only a death that is certain counts against the item that was being imported.
        if found.current_item_id is not None and self._is_dead(found):
            item.record_crash(tx, found.current_item_id)
        batch.set_status(tx, found.batch_id, BatchStatus.QUEUED)
        ledger.append(
            tx,
            found.batch_id,
            "job_reset",
            phase="job_reset",
            job_id=found.id,
            prior_claimed_by=found.claimed_by,
            prior_heartbeat_at=found.heartbeat_at and f"{found.heartbeat_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            reaped_by=f"{host()}/pid:{self._instance.pid}",
            threshold_seconds=_number(found.stale_after or self._context.settings.worker.stale_after),
        )
        ordering.hold_back(tx, found.batch_id)
        return True

    def _give_up(self, tx: Tx, found: Running) -> None:
        """Fails a job that kills its workers before its first item: it would be claimed first again each time."""
        lost = job.find(tx, found.id)
        assert lost is not None, "jobs are never deleted"
        lease = Lease(lost.id, lost.batch_id, found.claim_token, found.claimed_by or "", lost.scope)
        lease.items_done, lease.items_total = lost.items_done, lost.items_total
        completion.fail(tx, lease, completion.Progress(), CRASHED, self._context.settings.queue.retry_pauses)


def _correct_status(tx: Tx, batch_id: int) -> BatchStatus:
    batch.lock_by_id(tx, batch_id)
    return status.refresh(tx, batch_id)


def _number(seconds: float) -> float | int:
    return int(seconds) if seconds.is_integer() else seconds

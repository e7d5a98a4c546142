"""The pool of worker threads: each claims a queued job, runs it, and claims the next.

A claim is one short transaction: lowest priority number first, then oldest. Idle workers sleep until this process
queues a job or its poller finds one that another process queued.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from ingestd.errors import (
    DatabaseUnavailable,
    IngestdError,
    LeaseLost,
    MountUnavailable,
)
from ingestd.model import Lease, Scope
from ingestd.pipeline import claim_pace
from ingestd.pipeline.claim_pace import ClaimPace, SetAside
from ingestd.pipeline.claims import claim_group
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Instance, worker_id
from ingestd.pipeline.importer import completion
from ingestd.pipeline.importer.following import Claimant
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.looks import Looks
from ingestd.service import Service

log = structlog.get_logger()

UNTIL_WOKEN = 3600.0
GATE_SECONDS, HANGING_SECONDS = 1.0, 5.0
"""how old a look at the mount may be; seconds between looks at whether too many reads hang"""
MIN_SHARE, MAX_TOGETHER, MAX_FOLLOWED = 8, 16, 32
"""jobs that one worker may claim together, however many others are idle; at most; and with those that wait for them"""
LEFT_SECONDS = 5.0
"""for which a claimed job waits for a worker of this process, until those of other hosts may have it"""
MAX_LOOKS = 16
"""manifests of jobs that are set aside, which a worker without another job looks at"""


class WorkerPool:
    """The worker threads of one process. Each claims and runs jobs until none is queued."""

    def __init__(self, context: Context, instance: Instance, on_finished: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._instance = str(instance)
        self._on_finished = on_finished
        self._stopping = threading.Event()
        self._leases: dict[int, list[Lease]] = {}
        self._left: deque[Lease] = deque()
        """claimed jobs that could not be imported together with others, for the next worker"""
        self._pace, self._aside = ClaimPace(), SetAside(claim_pace.FIRST_ASIDE, claim_pace.MAX_ASIDE)
        self._unreleased: dict[int, Lease] = {}
        self._claims, self._looks = 0, Looks(context, self._stopping.is_set)
        self._expected, self._lock = 0, threading.Lock()
        count = context.settings.worker.threads
        self.services = [Service(f"worker-{slot}", self._step(slot)) for slot in range(count)]

    @property
    def leases(self) -> list[Lease]:
        """The jobs that are running."""
        with self._lock:
            return [lease for leases in self._leases.values() for lease in leases] + list(self._left)

    def workers(self) -> dict[str, int]:
        """How many threads are idle and busy."""
        busy = len(self._leases)
        return {"idle": len(self.services) - busy, "busy": busy}

    def start(self) -> None:
        for service in self.services:
            service.start()

    def wake(self) -> None:
        """Makes all workers look for jobs."""
        self._expect(len(self.services))
        for service in self.services:
            service.wake()

    def wake_one(self) -> None:
        """Makes one idle worker look for jobs. Each that finds one wakes the next: a job needs no more than one."""
        self._expect(len(self.services))
        self._wake_idle()

    def wake_for_one(self) -> None:
        """As `wake_one`, for one job that was queued: the next worker is not woken for it."""
        self._expect(1)
        self._wake_idle()

    def _expect(self, jobs: int) -> None:
        """Notes that so many jobs more are queued, as far as is known: a claim that finds none ends that."""
        with self._lock:
            self._expected = max(0, min(self._expected, len(self.services)) + jobs)

    def _wake_idle(self) -> None:
        for slot, service in enumerate(self.services):
            if slot not in self._leases:
                service.wake()
                return

    def stop(self) -> None:
        """Stops claiming; each thread commits or rolls back its current chunk, and releases its job."""
        self._stopping.set()
        for service in self.services:
            service.stop()

    def _step(self, slot: int) -> Callable[[], float]:
        return lambda: self.claim_and_run(slot)

    def claim_and_run(self, slot: int) -> float:
        """Claims and runs a job, or several together; returns the seconds until the next attempt."""
        if self._run_left(slot):
            return 0.0
        if self._stopping.is_set() or not is_open(self._context):
            return UNTIL_WOKEN
        if self._context.mount.hanging_problem is not None:
            return HANGING_SECONDS
        delay = self._pace.delay()
        if delay > 0.0:
            return delay
        self._release_again()
        self._looks.before_claim()
        limit = self._fair_share()
        leases = [] if self._stopping.is_set() else self._claim(slot, limit)
        if not leases:
            self._expected = 0
            self._pace.unused()
            if self._looks.look(MAX_LOOKS):
                return 0.0
            return claim_pace.FIRST_ASIDE if self._unreleased else UNTIL_WOKEN
        if len(leases) > 1 or self._has_followers(leases[0]):
            self._run_together(slot, leases, may_be_more=len(leases) == limit)
        else:
            self._run(slot, leases[0])
        return 0.0

    def _has_followers(self, lease: Lease) -> bool:
        """Whether bundles that follow that of a job may be imported together with it."""
        is_first = lease.scope is Scope.ALL and not (lease.isolate_items or lease.items_done)
        ahead = self._context.ahead
        may_join = is_first and self._max_together() > 1 and ahead.may_join(lease.sync_id, lease.recorded_sha256)
        return may_join and bool(ahead.followers([lease.sync_id], 1))

    def _claim(self, slot: int, limit: int) -> list[Lease]:
        """Claims a job, or several. Every other time, those that were set aside come last: there may be thousands."""
        unsettled = self._context.unsettled
        waiting, known = unsettled.now(), unsettled.known()
        self._claims += 1
        if self._claims % 2 and len(known) > len(waiting) and (leases := self._claim_without(slot, limit, known)):
            return leases
        return self._claim_without(slot, limit, waiting)

    def _claim_without(self, slot: int, limit: int, job_ids: list[int]) -> list[Lease]:
        claimant = self._claimant(slot, job_ids)
        return claim_group(self._context, *claimant[:2], limit, self._keep_waiting, claimant.without)

    def _claimant(self, slot: int, job_ids: Sequence[int]) -> Claimant:
        return Claimant(worker_id(slot), self._instance, [*self._aside.now(), *job_ids])

    def _fair_share(self) -> int:
        """How many jobs of small bundles a worker may take together, so that some are left for others without one.

        A few more take hardly longer than one.
        """
        idle = max(1, len(self.services) - len(self._leases))
        return min(self._max_together(), max(MIN_SHARE, self._context.ahead.count() // idle))

    def _max_together(self) -> int:
        is_alone = self._pace.is_slow or self._context.ahead.count() < 2
        return 1 if is_alone else min(MAX_TOGETHER, self._context.settings.worker.chunk_items)

    def _run_together(self, slot: int, leases: list[Lease], *, may_be_more: bool) -> None:
        """Imports what can be imported together; this worker, and others without a job, run what is left."""
        self._begin(slot, leases, more=int(may_be_more))
        done: list[Lease] = []
        try:
            claimant = self._claimant(slot, self._context.unsettled.now())
            limit, tick = MAX_FOLLOWED if self._max_together() > 1 else len(leases), self.services[slot].tick
            done = Together(self._context, leases, claimant, limit, self._stopping, tick).run()
        finally:
            ended = {lease.job_id for lease in done}
            left = [lease for lease in leases if lease.job_id not in ended]
            for lease in left:
                lease.progress_at = time.monotonic()
            with self._lock:
                self._left.extend(left)
                del self._leases[slot]
        for lease in done:
            self._end(lease, "done")
        self._on_finished()
        self._expect(len(left))
        while self._run_left(slot):
            pass

    def _run_left(self, slot: int) -> bool:
        """Runs a job that was left, if there is one."""
        with self._lock:
            if not self._left:
                return False
            lease = self._left.popleft()
            self._leases[slot] = [lease]
        self._run(slot, lease)
        return True

    def give_back_left(self) -> None:
        """Puts jobs back that have waited for a worker: all of this process have others, which may take long."""
        while (lease := self._next_waiting()) is not None:
            self._give_back(lease, "no_worker")
            self._aside.forget(lease.job_id)

    def _next_waiting(self) -> Lease | None:
        with self._lock:
            is_due = self._left and time.monotonic() - self._left[0].progress_at >= LEFT_SECONDS
            return self._left.popleft() if is_due else None

    def _run(self, slot: int, lease: Lease) -> None:
        self._begin(slot, [lease])
        try:
            outcome = Run(self._context, lease, self._stopping, self.services[slot].tick).execute()
            outcome = self._give_back(lease) if outcome == "lost" else outcome
        finally:
            with self._lock:
                del self._leases[slot]
        self._end(lease, outcome)
        self._on_finished()

    def _begin(self, slot: int, leases: list[Lease], more: int = 0) -> None:
        with self._lock:
            self._leases[slot] = leases
        self._expect(more - len(leases))
        if self._expected:
            self._wake_idle()  # now that the leases are known: a wake meant for this worker reaches another one

    def _end(self, lease: Lease, outcome: str) -> None:
        ended = "released" if outcome == "aside" else outcome
        self._context.instruments.jobs_finished.labels(ended).inc()
        self._context.instruments.job_duration.labels(ended).observe(time.monotonic() - lease.claimed_at)
        if lease.has_promoted:
            self._expect(len(self.services))
        self._keep_pace(lease, outcome)

    def _keep_pace(self, lease: Lease, outcome: str) -> None:
        if outcome in ("released", "lost"):
            self._pace.released(lease.claimed_at)
            return
        self._aside.forget(lease.job_id)
        if outcome != "aside":  # what is set aside has a reason of its own, and says nothing about other jobs
            self._context.unsettled.forget(lease.job_id)
        if self._pace.ended():
            self.wake()

    def _keep_waiting(self) -> bool:
        return not self._stopping.is_set()

    def _give_back(self, lease: Lease, why: str = "not_ended") -> str:
        """Releases a job whose run could not record its end; otherwise it would stay claimed until it is stale."""
        reason = "stopping" if self._stopping.is_set() else why
        try:
            release = partial(completion.release, lease=lease, reason=reason)
            self._context.db.transaction(release, keep_waiting=self._keep_waiting)
        except (LeaseLost, DatabaseUnavailable):
            return "lost"
        except IngestdError as error:
            log.error("job_not_released", job_id=lease.job_id, error=str(error))
            self._aside.add(lease.job_id)
            self._unreleased[lease.job_id] = lease
            return "lost"
        self._aside.add(lease.job_id)
        _log_release(lease, reason)
        return "released"

    def _release_again(self) -> None:
        """Releases jobs whose release the database refused, after pauses that grow."""
        for job_id in self._unreleased.keys() - set(self._aside.now()):
            lease = self._unreleased.pop(job_id, None)
            if lease is not None:  # else another worker was faster
                self._give_back(lease)


def _log_release(lease: Lease, reason: str) -> None:
    keys = {"job_id": lease.job_id, "worker": lease.worker_id, "claim_token": lease.token}
    log.warning("job_released", reason=reason, **keys)


def is_open(context: Context) -> bool:
    """The source gate: nothing is claimed while the mount is absent."""
    try:
        context.mount.check_cached(GATE_SECONDS)
    except MountUnavailable:
        return False
    return True

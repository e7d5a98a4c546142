"""Records what was read, bundle by bundle: one that is not complete is waited for, one that fails delays no other."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence, Set

import structlog

from ingestd.errors import (
    BatchIsRunning,
    DatabaseContention,
    DatabaseOutOfReach,
    DatabaseUnavailable,
    IngestdError,
    ManifestUnreadable,
    ManifestUnsettled,
    MountUnavailable,
    SentinelMissing,
    StillSilent,
    Unavailable,
)
from ingestd.model import BatchStatus, InvalidBasis
from ingestd.pipeline import delivery, new_bundles
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Change, Delivery
from ingestd.pipeline.lanes import Outcome
from ingestd.pipeline.names import Names
from ingestd.pipeline.recorded import Recorded
from ingestd.pipeline.settling import Settling, Waits
from ingestd.pipeline.stuck import MAX_PAUSE, Stuck
from ingestd.service import tick
from ingestd.shortage import shortage_of
from ingestd.store import batch
from ingestd.store.queries import server

log = structlog.get_logger()

OUTAGES_BEFORE_BLAME = 3
"""times in a row that the connection is lost over one bundle, and the database answers right afterwards"""
FIRST_DOUBT_PAUSE, MAX_DOUBT_PAUSE = 5.0, 900.0
FIRST_LOCK_PAUSE, MAX_LOCK_PAUSE, REPORT_LOCKED = 0.25, 5.0, 30.0
"""seconds between tries of a bundle that something holds at the moment, and until it is reported as stuck"""
FIRST_RUNNING_PAUSE, MAX_RUNNING_PAUSE = 1.0, 30.0
"""seconds between looks at another manifest of a batch whose job is running"""
MAX_MOMENT_PAUSE, MAX_HUNG_PAUSE = 15.0, 60.0
"""seconds between tries of a bundle that meets an error of the moment in the database, or whose read hangs"""


class Recorder:
    """The bundles that this process knows or waits for. Only the scanner's thread changes them.

    Waited for are incomplete manifests (`settling`), batches that another transaction holds (`locked`), manifests of
    which an earlier read is not over (`silent`), other manifests of running jobs (`running`), known ones that are not
    what is recorded (`differing`), bundles that cannot be read or recorded (`stuck`), and invalid batches whose verdict
    may not hold any more (`doubtful`). With `on_queued`, which wakes the workers for so many jobs, new bundles
    are queued with their recording if queue.auto asks for that, and they concern no other.
    """

    def __init__(self, context: Context, names: Names, on_queued: Callable[[int], None] | None = None) -> None:
        self._context, self._names, self._on_queued = context, names, on_queued
        self.settling = Settling(context.settings.mount.settle_seconds)
        self.locked = Waits(FIRST_LOCK_PAUSE, MAX_LOCK_PAUSE)
        self.silent = Waits(FIRST_LOCK_PAUSE, MAX_LOCK_PAUSE)
        self.running = Waits(FIRST_RUNNING_PAUSE, MAX_RUNNING_PAUSE)
        self.differing = Waits(FIRST_LOCK_PAUSE, MAX_LOCK_PAUSE)
        self.stuck = Stuck(context)
        self.doubtful = Waits(FIRST_DOUBT_PAUSE, MAX_DOUBT_PAUSE)
        self.recorded = Recorded(context, names)
        self._checked: set[str] = set()
        self._outages: Counter[str] = Counter()

    def __contains__(self, sync_id: str) -> bool:
        """Whether a bundle was read before, or may have been; for any thread."""
        is_unread = self.is_apart(sync_id) or sync_id in self.settling or sync_id in self.locked
        return is_unread or self.recorded.may_have(sync_id)

    def is_apart(self, sync_id: str) -> bool:
        """Whether a bundle is read apart from others, because reading it was silent or failed before."""
        return sync_id in self.silent or sync_id in self.stuck.waits

    @property
    def waits_again(self) -> tuple[Waits, ...]:
        """The bundles that are read again beside new ones."""
        return self.settling, self.locked, self.doubtful, self.differing, self.running

    @property
    def waits_apart(self) -> tuple[Waits, ...]:
        """Those that are read apart from all others."""
        return self.silent, self.stuck.waits

    def next_retry_at(self) -> float:
        """Monotonic time at which the next of them is due."""
        return min(waits.next_retry_at() for waits in (*self.waits_again, *self.waits_apart))

    @property
    def known(self) -> Set[str]:
        """Recorded bundles that a listing has, or that were recorded since the last one."""
        return self.recorded.known

    @property
    def unrecorded(self) -> frozenset[str]:
        """Bundles that are waited for and not recorded; for any thread."""
        return self.recorded.missing(self._waiting)

    @property
    def _waiting(self) -> frozenset[str]:
        return self.settling.names | self.locked.names | self.silent.names | self.stuck.names

    def name_new(self, listed: Set[str]) -> None:
        """Has those of some listed bundles read that are neither recorded nor waited for."""
        self._names.add_listed(sorted(self.recorded.new(self._names.missing(listed - self._waiting))))

    def note_listed(self, listed: Set[str]) -> None:
        """Forgets bundles whose sentinel is gone, and doubts verdicts that a listing or the time puts in question."""
        self._names.keep_only(listed)
        self.recorded.keep_only(listed)
        self.settling.keep_only(listed)
        self.locked.keep_only(listed)
        self.silent.keep_only(listed)
        self.running.keep_only(listed)
        self.differing.keep_only(listed)
        for sync_id in self.stuck.names - listed:
            self.stuck.end_unlisted(sync_id)
        max_future = self._context.settings.mount.max_future
        provisional = self._context.db.read(lambda tx: batch.provisional(tx, max_future))
        self.doubtful.keep_only(listed & provisional.keys())
        for sync_id in listed & provisional.keys() - self._checked:
            basis, is_due = provisional[sync_id]
            if basis is InvalidBasis.SETTING:
                # Settings change only with a restart, so the first scan after one does not wait for the pause.
                self._checked.add(sync_id)
            if is_due or basis is InvalidBasis.SETTING:
                self.doubtful.add(sync_id)

    def handle(self, outcomes: Sequence[Outcome]) -> None:
        """Records outcomes: bundles that are new together, all others one by one.

        Raises Unavailable for an outage, and then what is left will be read again.
        """
        done = self._record_new([one.delivered for one in outcomes if one.delivered and self._is_new(one.delivered)])
        left = deque(outcome for outcome in outcomes if outcome.task.sync_id not in done)
        try:
            while left:
                self._handle_one(left.popleft())
                tick()
        finally:
            for outcome in left:
                self._names.put_back(outcome.task.sync_id)

    def _is_new(self, delivered: Delivery) -> bool:
        """Whether it is a consumable bundle with which nothing was wrong so far."""
        sync_id = delivered.sync_id
        is_plain = sync_id not in self.locked and sync_id not in self.stuck.waits
        return delivered.manifest is not None and is_plain and sync_id not in self.recorded

    def _record_new(self, new: list[Delivery]) -> set[str]:
        """Records bundles together; returns those that were recorded."""
        if not new:
            return set()
        for delivered in new:
            self._keep(delivered)
        recorded = new_bundles.record(self._context, new, queues=self._on_queued is not None)
        queued = {sync_id for sync_id, row in recorded.items() if row["status"] == BatchStatus.QUEUED.value}
        if queued and self._on_queued is not None:
            self._on_queued(len(queued))
        for delivered in new:
            if delivered.sync_id in recorded:
                self.recorded.note_changed(delivered, is_new=True, is_queued=delivered.sync_id in queued)
                self._end(delivered.sync_id)
                del self._outages[delivered.sync_id]
        return set(recorded)

    def _handle_one(self, outcome: Outcome) -> None:
        sync_id = outcome.task.sync_id
        self.differing.end(sync_id)  # it is waited for otherwise, if there is a reason
        try:
            self._handle(outcome)
        except BatchIsRunning:
            self.running.postpone(sync_id)
        except DatabaseContention as error:
            self._wait_a_little(self.locked, sync_id, error, MAX_LOCK_PAUSE)
        except Unavailable as error:
            if not self._is_about_one_bundle(sync_id, error):
                self._names.put_back(sync_id)
                raise
            self._note_stuck(sync_id, error, MAX_MOMENT_PAUSE)
        except Exception as error:
            if (shortage := shortage_of(error)) is not None:
                self._names.put_back(sync_id)
                raise shortage from error
            if not isinstance(error, IngestdError):
                log.exception("bundle_failed", sync_id=sync_id)
            self._note_stuck(sync_id, error)
        else:
            del self._outages[sync_id]

    def _is_about_one_bundle(self, sync_id: str, error: Unavailable) -> bool:
        """Whether the database answers: then it may refuse only what this bundle needs.

        A lost connection is an outage that has just ended, unless it is lost over the same bundle again and again.
        """
        if not isinstance(error, DatabaseUnavailable):
            return False
        try:
            self._context.db.read(server.ping)
        except Unavailable:
            return False
        self._outages[sync_id] += 1
        return not isinstance(error, DatabaseOutOfReach) or self._outages[sync_id] >= OUTAGES_BEFORE_BLAME

    def _wait_a_little(self, waits: Waits, sync_id: str, error: Unavailable, longest: float) -> None:
        """Tries a bundle again soon that something holds at the moment; one that is held for long is reported."""
        waits.postpone(sync_id)
        if sync_id in self.stuck.waits or waits.age(sync_id) >= REPORT_LOCKED:
            waits.end(sync_id)
            self._note_stuck(sync_id, error, longest)

    def _note_stuck(self, sync_id: str, error: Exception, longest: float = MAX_PAUSE) -> None:
        """Has a bundle reported. A database that does not even take the report is out of order for all of them."""
        try:
            self.stuck.note(sync_id, error, longest)
        except Unavailable:
            self._names.put_back(sync_id)
            raise

    def _handle(self, outcome: Outcome) -> None:
        sync_id, error = outcome.task.sync_id, outcome.error
        if isinstance(error, MountUnavailable) and outcome.is_silent:
            if isinstance(error, StillSilent):
                # It is slow, or hangs: that costs nothing to try, and it is read soon after its mount answers.
                self._wait_a_little(self.silent, sync_id, error, MAX_HUNG_PAUSE)
            else:
                self._note_stuck(sync_id, error)
            return
        if isinstance(error, ManifestUnsettled) and not isinstance(error, SentinelMissing):
            self._wait_or_record(sync_id, error)
            return
        # Without its sentinel it is only named, not handed over: the sentinel will be named, or listed, when it comes.
        if error is not None and not isinstance(error, SentinelMissing):
            raise error
        if error is not None and sync_id in self.stuck.waits:
            # A listing ends it: a sentinel that comes and goes would be reported each time.
            self.stuck.waits.postpone(sync_id)
            return
        if outcome.delivered is not None:
            self._record(outcome.delivered)
        self._end(sync_id)

    def _wait_or_record(self, sync_id: str, unsettled: ManifestUnsettled) -> None:
        """Waits for an incomplete manifest, or records its batch as invalid; a known batch keeps its status."""
        if sync_id in self.doubtful:
            # A listing shows that a missing file came, but not that one can be read again.
            is_unseen = isinstance(unsettled, ManifestUnreadable)
            longest = self._context.settings.mount.rescan_interval if is_unseen else MAX_DOUBT_PAUSE
            self.doubtful.postpone(sync_id, longest)
            return
        if self.settling.try_again(sync_id, _reason(unsettled, sync_id)):
            return
        # A mount that went away has cost the manifest its time.
        self._context.mount.check()
        if sync_id not in self.known:
            seconds = self._context.settings.mount.settle_seconds
            problem = ManifestUnsettled([f"{unsettled} (waited {seconds:g} s)"])
            self._record(Delivery(sync_id, None, problem=problem, origin=self._context.mount.origin))
        self._end(sync_id)

    def _end(self, sync_id: str) -> None:
        self.differing.end(sync_id)
        self.settling.end(sync_id)
        self.locked.end(sync_id)
        self.silent.end(sync_id)
        self.doubtful.end(sync_id)
        self.running.end(sync_id)
        self.stuck.end(sync_id)
        self._names.forget(sync_id)

    def _record(self, delivered: Delivery) -> None:
        self._keep(delivered)
        if change := delivery.record(self._context, delivered, by_scan=True):
            self.recorded.note_changed(delivered, is_new=change is Change.NEW)
        else:
            self.recorded.note(delivered)

    def _keep(self, delivered: Delivery) -> None:
        """Keeps what was read before it is recorded, because a worker may take its job at once."""
        mount = self._context.mount
        self._context.ahead.note(delivered, mount.identity, is_far=mount.is_remote)


def _reason(unsettled: ManifestUnsettled, sync_id: str) -> str:
    """Why a manifest is waited for, without its name: very many with the same reason share one string."""
    name = f"{sync_id}.json"
    return sys.intern(str(unsettled).replace(f"sync/{name}: ", "").replace(f"sync/{name}", "it").replace(name, "it"))

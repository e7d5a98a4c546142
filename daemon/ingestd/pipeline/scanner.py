"""Records the bundles on the mount as batches. The watcher only wakes it: its own listing decides what exists.

A bundle is recorded once, with the digest of its manifest. A known manifest is read again when the watcher or a request
names it, or when the rotation finds that it differs: another digest under the same sync_id is a re-delivery.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from ingestd.errors import ListingEndless, MountSilent, MountUnavailable, OtherRelease, Shortage
from ingestd.mount.records import Listing
from ingestd.pipeline.context import Context
from ingestd.pipeline.full_listings import FullListings
from ingestd.pipeline.full_scans import FullScans
from ingestd.pipeline.ignored_names import IgnoredNames
from ingestd.pipeline.lanes import Lane, Outcome, Task
from ingestd.pipeline.names import Names
from ingestd.pipeline.new_bundles import MAX_TOGETHER
from ingestd.pipeline.reads import Reads
from ingestd.pipeline.recording import Recorder
from ingestd.pipeline.rotation import Rotation, recorded_digests
from ingestd.pipeline.scan_limit import ScanLimit
from ingestd.pipeline.settling import Settling
from ingestd.service import tick

MAX_RETRIES, RETRY_GAP = 64, 0.25
"""retries that begin together, and the seconds until the next ones if more are due"""
READ_POLL, REPORT_SECONDS, PATIENCE = 0.1, 0.2, 2.0
"""seconds between looks at reads, between reports, and without an outcome after which a round leaves slow reads"""
CHECK_SECONDS = 10.0
"""how old a check of the mount may be when a round begins: the watcher checks it more often"""
COMPARE_SECONDS = 10.0
"""for which a scan on request compares known manifests"""
ROUND_SECONDS = 5.0
"""after which a round leaves new names to the next one, so that neither listings nor the mount's check wait for them"""

Wake = Callable[[], None]
OnQueued = Callable[[int], None]


class Scanner:
    """Reads new, named and settling manifests at each round; at a full scan also lists the folder.

    Rounds run in one thread. Manifests are read by several others, so that a read that hangs delays no other bundle;
    what was read is recorded in the thread of the round. Other threads may call `name`, `demand_full`, `awaits`,
    `settling`, `unrecorded`, `stuck` and `last_success`.
    """

    def __init__(self, context: Context, on_recorded: Wake = lambda: None, on_queued: OnQueued | None = None) -> None:
        self._context, self._on_recorded, self._names = context, on_recorded, Names()
        self._recorder, self._reads = Recorder(context, self._names, on_queued), Reads(context)
        self.rotation, self.ignored = Rotation(context), IgnoredNames()
        self._listings = FullListings(context, self._read_early)
        self._round_ends_at, self._report_at, self._retries_at = math.inf, 0.0, 0.0
        self._limit: ScanLimit | None = None
        self._full = FullScans(context.settings.mount.rescan_interval)

    @property
    def last_success(self) -> float | None:
        """Wall-clock time of the last full scan that ended well."""
        return self._full.last_success

    @property
    def unrecorded(self) -> int:
        """Number of sentinels that were seen, but not recorded yet."""
        return len(self.unrecorded_names)

    @property
    def unrecorded_names(self) -> frozenset[str]:
        """Their sync_ids."""
        return self._recorder.unrecorded | (self._reads.pending - self._recorder.known)

    @property
    def unrecorded_reasons(self) -> dict[str, str]:
        """Why each of them waits, as far as it is known; those with rare reasons first."""
        reasons = {sync_id: self._recorder.settling.reason(sync_id) for sync_id in self.unrecorded_names}
        counts = Counter(reasons.values())
        return dict(sorted(reasons.items(), key=lambda one: (counts[one[1]], one[0])))

    @property
    def settling(self) -> Settling:
        """The manifests that are waited for."""
        return self._recorder.settling

    @property
    def stuck(self) -> int:
        """Number of bundles that cannot be read or recorded."""
        return len(self._recorder.stuck.waits)

    def is_busy(self) -> bool:
        """Whether manifests are read, or are to be read at once; reads that take long excepted."""
        return bool(self._names) or self._reads.is_busy

    def awaits(self, sync_id: str) -> bool:
        """Whether a change of this manifest matters before its sentinel is named: it was read, or is being read."""
        return sync_id in self._reads or sync_id in self._recorder

    def name(self, sync_ids: Iterable[str], source: str = "scan") -> None:
        """Makes the next round read these bundles, which `source` named; wake the service afterwards."""
        self._names.add(sync_ids, source)

    def read_again(self, sync_ids: Iterable[str]) -> None:
        """Makes the next round read known bundles beside new ones; wake the service afterwards."""
        for sync_id in sync_ids:
            self._recorder.differing.add(sync_id)

    def demand_full(self) -> None:
        """Makes the next round a full scan, also while one runs; wake the service afterwards."""
        self._full.demand()

    def run_once(self) -> float:
        """One round; returns the seconds until something is due."""
        with suppress(ListingEndless):  # it is logged, and tried again after mount.rescan_interval
            self._run(self._round, ROUND_SECONDS)
        return self._delay()

    def scan(self, patience: float = math.inf, limit: ScanLimit | None = None) -> list[str]:
        """One full scan, now, and another look at known manifests; returns what was recorded or changed.

        Reads without an answer for `patience` seconds go on afterwards, for the rounds to come; `limit` ends the scan.
        """
        self._limit = limit
        self._reads.wait_for_slow()
        return sorted(self._run(partial(self._scan_all, patience), math.inf))

    def _scan_all(self, patience: float) -> None:
        self._listings.forget()
        self._scan_fully(patience)
        self._compare_known(patience)

    def _run(self, work: Callable[[], None], longest: float) -> list[str]:
        """One round, of `longest` seconds."""
        changed = self._recorder.recorded.changed = []
        self._round_ends_at = time.monotonic() + longest
        try:
            work()
        finally:
            self._report()
        return changed

    def _round(self) -> None:
        if self._full.due_at() <= time.monotonic():
            self._scan_fully(PATIENCE)
        elif self._names or self._reads.needs_round or self._recorder.next_retry_at() <= time.monotonic():
            self._context.mount.recent_identity(CHECK_SECONDS)  # what is read now is compared with it
            self._read_due()
            self._read_all(PATIENCE)

    def _report(self) -> None:
        """Says that something was recorded since the last time, and is to be queued."""
        self._report_at = time.monotonic() + REPORT_SECONDS
        if self._recorder.recorded.unqueued:
            self._recorder.recorded.unqueued = 0
            self._on_recorded()

    def _delay(self) -> float:
        now = time.monotonic()
        retry_in = self._recorder.next_retry_at() - now
        # Due retries are those that this round had to leave.
        delay = min(max(0.0, self._full.due_at() - now), retry_in if retry_in > 0 else RETRY_GAP)
        return min(delay, READ_POLL) if self._names or self._reads.pending else delay

    def _read_due(self) -> None:
        """Begins some of the retries that are due."""
        self._retries_at = time.monotonic() + RETRY_GAP
        for waits in self._recorder.waits_again:
            self._submit(waits.due(MAX_RETRIES), Lane.AGAIN)
        for waits in self._recorder.waits_apart:
            self._submit(waits.due(MAX_RETRIES), Lane.APART)

    def _read_due_meanwhile(self) -> None:
        """Begins retries while many names wait: on a slow mount, reading all of those may take hours."""
        if self._names and time.monotonic() >= self._retries_at and self._reads.queued(Lane.AGAIN) < MAX_RETRIES:
            self._read_due()

    def _scan_fully(self, patience: float) -> None:
        """A full scan, timed and counted by how it ends, once the database has said what is stuck."""
        self._full.begin()
        self._recorder.stuck.load()
        start, scans = time.monotonic(), self._context.instruments.scans
        try:
            self._list_and_read(patience)
        except BaseException:
            scans.labels("error").inc()
            raise
        scans.labels("ok").inc()
        self._context.instruments.scan_duration.observe(time.monotonic() - start)

    def _list_and_read(self, patience: float) -> None:
        self._context.mount.check()
        partial_listing, awaited = Listing(), self.settling.awaited()
        try:
            listing = self._listings.take(partial_listing, awaited)
        except ListingEndless:
            self._full.put_off()
            self._read_listed(partial_listing, patience)
            raise
        except (Shortage, OtherRelease):
            raise
        except MountUnavailable as error:
            if partial_listing.sync_ids or isinstance(error, MountSilent):
                self._read_listed(partial_listing, patience)
            raise
        self._recorder.note_listed(listing.sync_ids)
        self._names.add_listed(self.settling.appeared(awaited, listing.manifests))
        self._read_listed(listing, patience, is_complete=True)
        self._full.note_success()

    def _read_early(self, sync_ids: list[str]) -> None:
        """Reads and records what is new so far, and what was named, while a listing takes long."""
        self._recorder.name_new(set(sync_ids) - self._reads.pending)
        self._submit_named()
        while outcomes := self._reads.next(0.0, MAX_TOGETHER):
            self._take(outcomes)

    def _read_listed(self, listing: Listing, patience: float, *, is_complete: bool = False) -> None:
        """Reads what is new in a listing; of what one lacks that is not complete, nothing is known."""
        self.ignored.warn(listing)
        self._recorder.name_new(listing.sync_ids - self._reads.pending)
        if is_complete:
            self._recorder.recorded.is_listed = True
            self.rotation.present = listing.sync_ids & self._recorder.known
        self._read_due()
        self._read_all(patience)

    def _compare_known(self, patience: float) -> None:
        """Compares known manifests for COMPARE_SECONDS, and reads those that have changed."""
        end, left = time.monotonic() + COMPARE_SECONDS, len(self.rotation.present)
        while left > 0 and time.monotonic() < min(end, self._round_ends_at):
            compared = self.rotation.compare_next()
            left -= compared.turns or left
            self.read_again(compared.changed)
            self._read_due()
            self._read_all(patience)

    def _read_all(self, patience: float) -> None:
        """Reads and records all that is named, and what began before; leaves reads that are silent for too long."""
        quiet, check_at = 0.0, time.monotonic() + ROUND_SECONDS
        while time.monotonic() < self._round_ends_at:
            if time.monotonic() >= check_at:
                self._context.mount.recent_identity(ROUND_SECONDS)
                check_at = time.monotonic() + ROUND_SECONDS
            self._submit_named()
            self._read_due_meanwhile()
            outcomes = self._reads.next(READ_POLL if self._reads.is_busy else 0.0, MAX_TOGETHER)
            if outcomes:
                quiet = 0.0
                self._take(outcomes)
                if time.monotonic() >= self._report_at:
                    self._report()
            elif not self._reads.is_busy:
                return
            else:
                quiet += READ_POLL
                self._report()
                if quiet >= patience:
                    self._reads.note_slow()
            tick()
            if self._limit is not None and self._limit.is_over(outcomes, self._reads.pending):
                self._round_ends_at = time.monotonic()

    def _take(self, outcomes: list[Outcome]) -> None:
        self._reads.submit([outcome.next_task for outcome in outcomes if outcome.next_task is not None])
        self._recorder.handle([outcome for outcome in outcomes if outcome.next_task is None])

    def _submit_named(self) -> None:
        """Begins to read what is named, except what is stuck: that becomes due soon, with the readers apart.

        A manifest that was waited for has news: if it is not complete yet, it is tried again before others.
        """
        if self._names and self._reads.room:
            waits = self._recorder.stuck.waits
            named = self._names.take(self._reads.room)
            for sync_id in named:
                waits.hasten(sync_id)
                self.settling.hasten(sync_id)
            self._submit([sync_id for sync_id in named if sync_id not in waits])

    def _submit(self, sync_ids: list[str], lane: Lane = Lane.SHORT) -> None:
        """Begins to read some bundles; one that is being read already is read again afterwards."""
        idle = [sync_id for sync_id in sync_ids if sync_id not in self._reads]
        for sync_id in sync_ids:
            if sync_id in self._reads:
                self._names.put_back(sync_id)
        try:
            digests = recorded_digests(self._context, [one for one in idle if one in self._recorder.known])
        except BaseException:
            for sync_id in idle:
                self._names.put_back(sync_id)
            raise
        self._reads.submit([self._task(sync_id, digests.get(sync_id), lane) for sync_id in idle])

    def _task(self, sync_id: str, sha256: str | None, lane: Lane) -> Task:
        known_sha256 = None if sync_id in self._recorder.doubtful else sha256
        return Task(sync_id, known_sha256, Lane.APART if self._recorder.is_apart(sync_id) else lane)

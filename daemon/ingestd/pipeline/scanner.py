"""Records the bundles on the mount as batches. The watcher only wakes it: its own listing decides what exists.

A bundle is recorded once, with the digest of its manifest. A known manifest is read again when the watcher or a request
names it, and by a slow rotation: another digest under the same sync_id is a re-delivery.
"""

import threading
import time
from collections.abc import Callable, Iterable, Set
from datetime import UTC, datetime

import structlog

from ingestd.errors import ManifestUnsettled, SentinelMissing
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.names import Names
from ingestd.pipeline.rotation import Rotation
from ingestd.pipeline.settling import Settling
from ingestd.service import tick
from ingestd.store import batch

log = structlog.get_logger()

MAX_WARNINGS = 20
"""ignored sentinels that one scan logs by name"""


class Scanner:
    """Reads new, named and settling manifests at each round; at a full scan also lists the folder and re-reads some.

    Rounds run in one thread. Other threads may call `name`, `demand_full`, `awaits`, `unrecorded` and
    `last_success`: what these read and the rounds change is guarded by a lock.
    """

    def __init__(self, context: Context, on_recorded: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._on_recorded = on_recorded
        self._names = Names()
        self._settling = Settling(context.settings.mount.settle_seconds)
        self._rotation = Rotation()
        self._ignored: set[str] = set()
        self._is_loaded = False
        self._lock = threading.Lock()
        # Guarded by the lock; only rounds write `_known` and `_reading`, so they read them without it.
        self._known: set[str] = set()
        self._reading: str | None = None
        self._is_demanded = False
        self._full_due_at = 0.0
        self._last_success: float | None = None

    @property
    def last_success(self) -> float | None:
        """Wall-clock time of the last full scan that ended well."""
        with self._lock:
            return self._last_success

    @property
    def unrecorded(self) -> int:
        """Number of sentinels that were seen, but not recorded yet."""
        settling = self._settling.names
        with self._lock:
            return len(settling - self._known)

    def awaits(self, sync_id: str) -> bool:
        """Whether a change of this manifest matters before its sentinel is named: it was read, or is being read."""
        if sync_id in self._settling:
            return True
        with self._lock:
            return sync_id in self._known or sync_id == self._reading

    def name(self, sync_ids: Iterable[str], source: str = "scan") -> None:
        """Makes the next round read these bundles, which `source` named; wake the service afterwards."""
        self._names.add(sync_ids, source)

    def demand_full(self) -> None:
        """Makes the next round a full scan, also while one runs; wake the service afterwards."""
        with self._lock:
            self._is_demanded = True

    def run_once(self) -> float:
        """One round; returns the seconds until something is due."""
        named = self._names.take(remember=self._settling.names)
        try:
            recorded = self._scan_fully(named) if self._is_full_due() else self._read_due(named)
        except BaseException:
            self._names.put_back(named)
            raise
        if recorded:
            self._on_recorded()
        return self._delay()

    def scan(self) -> list[str]:
        """One full scan, now; returns the sync_ids that were recorded or changed."""
        changed = self._scan_fully()
        if changed:
            self._on_recorded()
        return changed

    def _is_full_due(self) -> bool:
        with self._lock:
            return self._is_demanded or time.monotonic() >= self._full_due_at

    def _delay(self) -> float:
        retry_at = self._settling.next_retry_at()
        with self._lock:
            full_due_at = 0.0 if self._is_demanded else self._full_due_at
        return max(0.0, min(full_due_at, retry_at) - time.monotonic())

    def _read_due(self, named: set[str]) -> list[str]:
        """Reads the named and the settling manifests; a name without a sentinel is not a bundle (yet)."""
        due = set(self._settling.due())
        if not named and not due:
            return []
        self._context.mount.check()
        is_known = named <= self._known
        complete = self._known if is_known else {*self._known, *self._context.mount.list_sentinels().sync_ids}
        return self._read_all(sorted(due | (named & complete)))

    def _scan_fully(self, named: Set[str] = frozenset()) -> list[str]:
        """A full scan. One that fails stays due; one that is demanded after this begins follows it."""
        with self._lock:
            self._is_demanded, self._full_due_at = False, 0.0
        self._load_known()
        return self._scan_counted(named)

    def _load_known(self) -> None:
        if not self._is_loaded:
            known = self._context.db.read(batch.known_sync_ids)
            with self._lock:
                self._known |= known
            self._is_loaded = True

    def _scan_counted(self, named: Set[str]) -> list[str]:
        """A full scan, timed and counted by how it ends."""
        start, scans = time.monotonic(), self._context.instruments.scans
        try:
            changed = self._list_and_read(named)
        except BaseException:
            scans.labels("error").inc()
            raise
        scans.labels("ok").inc()
        self._context.instruments.scan_duration.observe(time.monotonic() - start)
        return changed

    def _list_and_read(self, named: Set[str]) -> list[str]:
        self._context.mount.check()
        listing = self._context.mount.list_sentinels()
        self._warn_of_ignored(set(listing.invalid_names))
        listed = set(listing.sync_ids)
        self._settling.keep_only(listed)
        new = listed - self._known - self._settling.names
        changed = self._read_all(sorted(new | (named & (listed | self._known))))
        changed += self._read_all(self._settling.due())
        self._rotation.turn(listed & self._known, lambda sync_id: self._read_and_record(sync_id, changed))
        self._note_success()
        return changed

    def _warn_of_ignored(self, names: set[str]) -> None:
        new = sorted(names - self._ignored)
        for name in new[:MAX_WARNINGS]:
            log.warning("sentinel_ignored", name=name, reason="its name is not a lower-case UUID")
        if len(new) > MAX_WARNINGS:
            log.warning("sentinels_ignored", count=len(new) - MAX_WARNINGS, reason="not named after a lower-case UUID")
        self._ignored = names

    def _note_success(self) -> None:
        with self._lock:
            self._last_success = time.time()
            self._full_due_at = time.monotonic() + self._context.settings.mount.rescan_interval

    def _read_all(self, sync_ids: Iterable[str]) -> list[str]:
        changed: list[str] = []
        for sync_id in sync_ids:
            self._read_and_record(sync_id, changed)
        return changed

    def _read_and_record(self, sync_id: str, changed: list[str]) -> int:
        """Adds the sync_id to `changed` if it was recorded or has changed; returns the bytes read."""
        tick()
        with self._lock:
            self._reading = sync_id
        size = 0
        try:
            known_sha256 = self._recorded_sha256(sync_id)
            size = self._record(delivery.read(self._context, sync_id, known_sha256), changed)
        except SentinelMissing:
            # Only named, not handed over: the sentinel will be named, or listed, when it comes.
            pass
        except ManifestUnsettled as unsettled:
            if self._may_wait(sync_id):
                return 0
            self._record_unreadable(sync_id, unsettled, changed)
        self._settling.end(sync_id)
        return size

    def _recorded_sha256(self, sync_id: str) -> str | None:
        """The digest that a known batch is recorded with; None if even the same manifest must be checked again."""
        if sync_id not in self._known:
            return None
        max_future = self._context.settings.mount.max_future
        return self._context.db.read(lambda tx: batch.digests(tx, [sync_id], max_future)).get(sync_id)

    def _record(self, delivered: Delivery, changed: list[str]) -> int:
        sync_id = delivered.sync_id
        if delivery.record(self._context, delivered):
            changed.append(sync_id)
            if sync_id not in self._known:
                self._count_discovery(delivered)
        with self._lock:
            self._known.add(sync_id)
        return delivered.size

    def _count_discovery(self, delivered: Delivery) -> None:
        self._context.instruments.discovered.labels(self._names.source_of(delivered.sync_id)).inc()
        if delivered.manifest is not None:
            delay = datetime.now(UTC).replace(tzinfo=None) - delivered.manifest.completed_at
            self._context.instruments.discovery_delay.observe(max(0.0, delay.total_seconds()))

    def _may_wait(self, sync_id: str) -> bool:
        """Whether an unreadable manifest still has time. A mount that went away raises, and costs it no time."""
        self._context.mount.check()
        return self._settling.postpone(sync_id)

    def _record_unreadable(self, sync_id: str, unsettled: ManifestUnsettled, changed: list[str]) -> None:
        """Records a bundle as invalid after the wait for its manifest; a known batch keeps its status."""
        if sync_id not in self._known:
            seconds = self._context.settings.mount.settle_seconds
            problem = ManifestUnsettled([f"{unsettled} (waited {seconds:g} s)"])
            self._record(Delivery(sync_id, None, problem=problem), changed)

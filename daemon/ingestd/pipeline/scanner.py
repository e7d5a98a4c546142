"""Records what is on the mount as batches. The watcher only wakes it; what it lists and reads is the truth.

A bundle is recorded once, with its digest. One that is known already is read again when the watcher names it, when
somebody asks, and by a slow rotation: another digest under the same sync_id is a re-delivery.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from ingestd.errors import IngestdError, ManifestUnsettled, SentinelMissing
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivered
from ingestd.service import tick
from ingestd.store import batch

log = structlog.get_logger()

FIRST_RETRY, MAX_RETRY = 0.2, 15.0
ROTATION_BYTES = 16 * 2**20
SCANS_KEPT, SYNC_IDS_KEPT = 100, 10_000


@dataclass(slots=True)
class _Settling:
    """A bundle whose manifest is missing or half-written; monotonic times."""

    since: float
    retry_at: float
    pause: float
    error: str


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What came of a full scan that was demanded: the bundles that it recorded or found changed, or why it failed."""

    state: Literal["running", "done", "failed"] = "running"
    sync_ids: tuple[str, ...] = ()
    unrecorded: int | None = None
    error: str | None = None


class Demands:
    """Full scans that somebody demanded, by number; what came of the last ones is kept.

    A scan answers all demands made before it began. They share its number, so many of them take no more room than one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of the clock: a number that another process gave is unknown to this one, rather than that of another scan.
        self._next = int(time.time() * 1000)
        self._outcomes: dict[int, ScanOutcome] = {}

    def add(self) -> int:
        """Notes a demand; the number of the scan that will answer it."""
        with self._lock:
            self._outcomes.setdefault(self._next, ScanOutcome())
            while len(self._outcomes) > SCANS_KEPT:
                del self._outcomes[min(self._outcomes)]
            return self._next

    @property
    def are_open(self) -> bool:
        """Whether a demand waits for a scan that has yet to begin."""
        return self._next in self._outcomes

    def begin(self) -> int | None:
        """The number of the scan that begins now; None if nobody demanded it."""
        with self._lock:
            if self._next not in self._outcomes:
                return None
            self._next += 1
            return self._next - 1

    def end(self, number: int | None, outcome: ScanOutcome) -> None:
        if number is not None:
            with self._lock:
                self._outcomes[number] = outcome

    def outcome(self, number: int) -> ScanOutcome | None:
        with self._lock:
            return self._outcomes.get(number)


class Scanner:
    """One round: what the watcher named, what has settled, and (when due) a full listing and a turn of the rotation."""

    def __init__(self, context: Context, on_recorded: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._on_recorded = on_recorded
        self._settings = context.settings.mount
        self._lock = threading.Lock()
        self._named: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self._full_due_at = 0.0
        self._demands = Demands()
        self._known: set[str] = set()
        self._known_loaded = False
        self._rotation: deque[str] = deque()
        self._settling: dict[str, _Settling] = {}
        self._odd: set[str] = set()
        self._reading: str | None = None
        self.last_success: float | None = None
        """wall-clock time of the last full scan that ended well"""

    @property
    def unrecorded(self) -> int:
        """Sentinels seen, but not recorded yet."""
        return len([sync_id for sync_id in list(self._settling) if sync_id not in self._known])

    def awaits(self, sync_id: str) -> bool:
        """Whether a change of this manifest matters before its sentinel is named: it was read already, or just is."""
        return sync_id in self._known or sync_id in self._settling or sync_id == self._reading

    def name(self, sync_ids: Iterable[str], source: str = "scan") -> None:
        """Notes bundles that something happened to, and what told of it; wake the service afterwards."""
        with self._lock:
            self._named.update(dict.fromkeys(sync_ids, source))

    def demand_full(self) -> int:
        """Makes the next round a full scan, also while one runs; the number by which `scanned` tells of it."""
        number = self._demands.add()
        with self._lock:
            self._full_due_at = 0.0
        return number

    def scanned(self, number: int) -> ScanOutcome | None:
        """What came of a scan that was demanded; None for a number that is unknown, or too long ago."""
        return self._demands.outcome(number)

    def run_once(self) -> float:
        """One round; returns the seconds until something is due."""
        with self._lock:
            named, self._named = self._named, {}
            self._sources = {**{sync_id: self._sources.get(sync_id, "scan") for sync_id in self._settling}, **named}
            full = time.monotonic() >= self._full_due_at
        try:
            recorded = self._scan_fully(set(named)) if full else self._look_at_due(set(named))
        except BaseException:
            with self._lock:
                self._named = {**named, **self._named}
            raise
        if recorded:
            self._on_recorded()
        return self._delay()

    def scan(self) -> list[str]:
        """One full scan, now; returns the sync_ids that were recorded or changed."""
        return self._scan_fully()

    def _load_known(self) -> None:
        if not self._known_loaded:
            self._known = self._context.db.read(batch.known_sync_ids)
            self._known_loaded = True

    def _look_at_due(self, named: set[str]) -> list[str]:
        """Reads what the watcher named and what has settled; a name without a sentinel is no bundle (yet)."""
        settled = set(self._settled())
        if not named and not settled:
            return []
        self._context.mount.check()
        handed_over = self._known
        if not named <= handed_over:
            handed_over = {*handed_over, *self._context.mount.list_sentinels().sync_ids}
        return self._look_at(sorted(settled | (named & handed_over)))

    def _scan_fully(self, named: Set[str] = frozenset()) -> list[str]:
        """A full scan; tells whoever demanded one before it began what came of it."""
        number = self._demands.begin()
        try:
            self._load_known()
            changed = self._scan_counted(named)
        except BaseException as error:
            told = str(error) if isinstance(error, IngestdError) else "it failed for a reason that the log tells"
            self._demands.end(number, ScanOutcome("failed", error=told))
            raise
        self._demands.end(number, ScanOutcome("done", tuple(changed[:SYNC_IDS_KEPT]), self.unrecorded))
        return changed

    def _scan_counted(self, named: Set[str]) -> list[str]:
        """A full scan, timed and counted by how it ends."""
        start, scans = time.monotonic(), self._context.instruments.scans
        try:
            changed = self._list_and_look(named)
        except BaseException:
            scans.labels("error").inc()
            raise
        scans.labels("ok").inc()
        self._context.instruments.scan_duration.observe(time.monotonic() - start)
        return changed

    def _list_and_look(self, named: Set[str]) -> list[str]:
        self._context.mount.check()
        listing = self._context.mount.list_sentinels()
        self._warn_of_odd(set(listing.invalid_names))
        here = set(listing.sync_ids)
        for gone in set(self._settling) - here:
            del self._settling[gone]
        new = sorted(here - self._known - set(self._settling) | (named & (here | self._known)))
        changed = self._look_at(new) + self._look_at(self._settled()) + self._rotate(here)
        self.last_success = time.time()
        with self._lock:
            # A demand made since this scan began is not answered by it.
            self._full_due_at = 0.0 if self._demands.are_open else time.monotonic() + self._settings.rescan_interval
        return changed

    def _warn_of_odd(self, odd: set[str]) -> None:
        for name in sorted(odd - self._odd):
            log.warning("sentinel_ignored", name=name, reason="its name is no lower-case UUID")
        self._odd = odd

    def _rotate(self, here: set[str]) -> list[str]:
        """Reads a few known manifests again, so that each has its turn; at least one, and not many bytes."""
        if not self._rotation:
            self._rotation.extend(sorted(here & self._known))
        changed: list[str] = []
        budget = ROTATION_BYTES
        while self._rotation and budget > 0:
            sync_id = self._rotation.popleft()
            if sync_id in here:
                size, outcome = self._read_and_record(sync_id)
                budget -= size + 2**16
                changed += outcome
        return changed

    def _settled(self) -> list[str]:
        """Bundles whose manifest is due another look."""
        now = time.monotonic()
        return [sync_id for sync_id, settling in self._settling.items() if settling.retry_at <= now]

    def _look_at(self, sync_ids: Iterable[str]) -> list[str]:
        changed: list[str] = []
        for sync_id in sync_ids:
            changed += self._read_and_record(sync_id)[1]
        return changed

    def _read_and_record(self, sync_id: str) -> tuple[int, list[str]]:
        """Size read, and the sync_id if it was recorded or had changed."""
        tick()
        self._reading = sync_id
        delivered = self._read(sync_id)
        if delivered is None:
            return 0, []
        changed = delivery.record(self._context, sync_id, delivered)
        if changed and sync_id not in self._known:
            self._note_discovery(sync_id, delivered)
        self._known.add(sync_id)
        return delivered.size, [sync_id] if changed else []

    def _note_discovery(self, sync_id: str, delivered: Delivered) -> None:
        self._context.instruments.discovered.labels(self._sources.get(sync_id, "scan")).inc()
        if delivered.manifest is not None:
            delay = datetime.now(UTC).replace(tzinfo=None) - delivered.manifest.completed_at
            self._context.instruments.discovery_delay.observe(max(0.0, delay.total_seconds()))

    def _read(self, sync_id: str) -> Delivered | None:
        """What is delivered under a name; None while it is worth waiting, or for a known one that cannot be read."""
        delivered: Delivered | None
        try:
            delivered = delivery.read(self._context, sync_id)
        except SentinelMissing:
            # Only named, not handed over: the sentinel will be named, or listed, when it comes.
            delivered = None
        except ManifestUnsettled as unsettled:
            if not self._has_waited_enough(sync_id, unsettled):
                return None
            error = f"{unsettled} (waited {self._settings.settle_seconds:g} s)"
            delivered = None if sync_id in self._known else Delivered(error=error)
        self._settling.pop(sync_id, None)
        return delivered

    def _has_waited_enough(self, sync_id: str, unsettled: ManifestUnsettled) -> bool:
        """Whether an unreadable manifest has had its time; notes when to look again if not."""
        self._context.mount.check()
        now = time.monotonic()
        settling = self._settling.get(sync_id)
        if settling is None:
            self._settling[sync_id] = _Settling(now, now + FIRST_RETRY, FIRST_RETRY, str(unsettled))
            return False
        settling.pause = min(settling.pause * 2, MAX_RETRY)
        settling.retry_at = min(now + settling.pause, max(now, settling.since + self._settings.settle_seconds))
        settling.error = str(unsettled)
        return now - settling.since >= self._settings.settle_seconds

    def _delay(self) -> float:
        due = [self._full_due_at, *(settling.retry_at for settling in self._settling.values())]
        return max(0.0, min(due) - time.monotonic())

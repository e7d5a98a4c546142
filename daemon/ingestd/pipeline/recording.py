"""Records what was read, bundle by bundle: one that is not complete is waited for, one that fails delays no other."""

import threading
from collections import Counter
from collections.abc import Set
from datetime import UTC, datetime

import structlog

from ingestd.errors import (
    DatabaseContention,
    DatabaseOutOfReach,
    DatabaseUnavailable,
    IngestdError,
    ManifestUnsettled,
    MountUnavailable,
    SentinelMissing,
    Unavailable,
)
from ingestd.model import InvalidBasis
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.names import Names
from ingestd.pipeline.reads import Outcome
from ingestd.pipeline.settling import Settling, Waits
from ingestd.pipeline.stuck import Stuck
from ingestd.store import batch
from ingestd.store.queries import server

log = structlog.get_logger()

OUTAGES_BEFORE_BLAME = 3
"""times in a row that the connection is lost over one bundle, and the database answers right afterwards"""
FIRST_DOUBT_PAUSE, MAX_DOUBT_PAUSE = 5.0, 900.0


class Recorder:
    """The bundles that this process knows or waits for. Only the scanner's thread changes them.

    Waited for are incomplete manifests (`settling`), bundles that cannot be read or recorded (`stuck`), and invalid
    batches whose verdict may not hold any more (`doubtful`).
    """

    def __init__(self, context: Context, names: Names) -> None:
        self._context, self._names = context, names
        self.settling = Settling(context.settings.mount.settle_seconds)
        self.stuck = Stuck(context)
        self.doubtful = Waits(FIRST_DOUBT_PAUSE, MAX_DOUBT_PAUSE)
        self.changed: list[str] = []
        """sync_ids that were recorded or have changed"""
        self._checked: set[str] = set()
        self._outages: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._known: set[str] | None = None

    def __contains__(self, sync_id: str) -> bool:
        """Whether a bundle was read before; for any thread."""
        waiting = sync_id in self.settling or sync_id in self.stuck.waits
        return waiting or (self._known is not None and sync_id in self._known)

    @property
    def known(self) -> Set[str]:
        return self._known or frozenset()

    @property
    def unrecorded(self) -> frozenset[str]:
        """Bundles that are waited for and not recorded; for any thread."""
        waiting = self.settling.names | self.stuck.waits.names
        with self._lock:
            return waiting - (self._known or frozenset())

    def load(self) -> None:
        """Reads once what is recorded already."""
        if self._known is None:
            known = self._context.db.read(batch.known_sync_ids)
            self.stuck.load()
            with self._lock:
                self._known = known

    def new(self, listed: Set[str]) -> Set[str]:
        """The listed bundles that were never read."""
        return listed - self.known - self.settling.names - self.stuck.waits.names

    def note_listed(self, listed: Set[str]) -> None:
        """Forgets bundles whose sentinel is gone, and doubts verdicts that a listing or the time puts in question."""
        self.settling.keep_only(listed)
        for sync_id in self.stuck.waits.names - listed:
            self.stuck.end(sync_id)
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

    def handle(self, outcome: Outcome) -> None:
        """Records one outcome. Raises Unavailable for an outage, and then the bundle will be read again."""
        sync_id = outcome.task.sync_id
        try:
            self._handle(outcome)
        except Unavailable as error:
            if not self._is_about_one_bundle(sync_id, error):
                self._names.put_back(sync_id)
                raise
            self.stuck.note(sync_id, error)
        except Exception as error:
            if not isinstance(error, IngestdError):
                log.exception("bundle_failed", sync_id=sync_id)
            self.stuck.note(sync_id, error)
        else:
            del self._outages[sync_id]

    def _is_about_one_bundle(self, sync_id: str, error: Unavailable) -> bool:
        """Whether the database answers and refuses only what this bundle needs, or another one is in the way.

        A lost connection is an outage that has just ended, unless it is lost over the same bundle again and again.
        """
        if isinstance(error, DatabaseContention) or not isinstance(error, DatabaseUnavailable):
            return isinstance(error, DatabaseContention)
        try:
            self._context.db.read(server.ping)
        except Unavailable:
            return False
        self._outages[sync_id] += 1
        return not isinstance(error, DatabaseOutOfReach) or self._outages[sync_id] >= OUTAGES_BEFORE_BLAME

    def _handle(self, outcome: Outcome) -> None:
        sync_id, error = outcome.task.sync_id, outcome.error
        if isinstance(error, MountUnavailable) and outcome.is_silent:
            self.stuck.note(sync_id, error)
            return
        if isinstance(error, ManifestUnsettled) and not isinstance(error, SentinelMissing):
            self._wait_or_record(sync_id, error)
            return
        # Without its sentinel it is only named, not handed over: the sentinel will be named, or listed, when it comes.
        if error is not None and not isinstance(error, SentinelMissing):
            raise error
        if outcome.delivered is not None:
            self._record(outcome.delivered)
        self._end(sync_id)

    def _wait_or_record(self, sync_id: str, unsettled: ManifestUnsettled) -> None:
        """Waits for an incomplete manifest, or records its batch as invalid; a known batch keeps its status."""
        if sync_id in self.doubtful:
            self.doubtful.postpone(sync_id)
            return
        if self.settling.try_again(sync_id):
            return
        # A mount that went away has cost the manifest its time.
        self._context.mount.check()
        if sync_id not in self.known:
            seconds = self._context.settings.mount.settle_seconds
            problem = ManifestUnsettled([f"{unsettled} (waited {seconds:g} s)"])
            self._record(Delivery(sync_id, None, problem=problem, origin=self._context.mount.origin))
        self._end(sync_id)

    def _end(self, sync_id: str) -> None:
        self.settling.end(sync_id)
        self.doubtful.end(sync_id)
        self.stuck.end(sync_id)
        self._names.forget(sync_id)

    def _record(self, delivered: Delivery) -> None:
        sync_id = delivered.sync_id
        if delivery.record(self._context, delivered):
            self.changed.append(sync_id)
            if sync_id not in self.known:
                self._count_discovery(delivered)
        with self._lock:
            assert self._known is not None, "it is loaded before anything is read"
            self._known.add(sync_id)

    def _count_discovery(self, delivered: Delivery) -> None:
        self._context.instruments.discovered.labels(self._names.source_of(delivered.sync_id)).inc()
        if delivered.manifest is not None:
            delay = datetime.now(UTC).replace(tzinfo=None) - delivered.manifest.completed_at
            self._context.instruments.discovery_delay.observe(max(0.0, delay.total_seconds()))

"""What is recorded, as far as this process knows, and what it has recorded since the last round."""

import threading
from collections.abc import Set
from datetime import UTC, datetime
from functools import partial

from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.names import Names
from ingestd.service import tick
from ingestd.store import batch

MAX_ASKED = 1000
"""bundles that the database is asked about with one statement"""


class Recorded:
    """The recorded sync_ids that a listing has, or that were recorded since the last one.

    What is recorded and gone from the mount is not among them: history only grows, the mount does not. Only the
    scanner's thread changes them; any thread may look whether one is among them.
    """

    def __init__(self, context: Context, names: Names) -> None:
        self._context, self._names = context, names
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self.is_listed = False
        """whether all that a complete listing had was asked for"""
        self.changed: list[str] = []
        """sync_ids that were recorded or have changed"""
        self.unqueued = 0
        """how many of them were not queued with their recording"""

    def __contains__(self, sync_id: str) -> bool:
        return sync_id in self._known

    @property
    def known(self) -> Set[str]:
        return self._known

    def may_have(self, sync_id: str) -> bool:
        """Whether a bundle may be recorded: until `is_listed`, each may; for any thread."""
        return not self.is_listed or sync_id in self._known

    def missing(self, sync_ids: frozenset[str]) -> frozenset[str]:
        """Those of some sync_ids that are not known; for any thread."""
        with self._lock:
            return sync_ids - self._known

    def keep_only(self, listed: Set[str]) -> None:
        """Forgets what a complete listing does not have."""
        with self._lock:
            self._known &= listed

    def new(self, sync_ids: Set[str]) -> Set[str]:
        """Those of some sync_ids that are not recorded: the database is asked about the unknown ones."""
        unknown = sorted(sync_ids - self._known)
        for start in range(0, len(unknown), MAX_ASKED):
            recorded = self._context.db.read(partial(batch.recorded, sync_ids=unknown[start : start + MAX_ASKED]))
            with self._lock:
                self._known |= recorded
            tick()
        return sync_ids - self._known

    def note_changed(self, delivered: Delivery, *, is_new: bool, is_queued: bool = False) -> None:
        """Notes that a reading was recorded, and that its batch is new or has changed."""
        self.changed.append(delivered.sync_id)
        self.unqueued += not is_queued
        if is_new:
            self._count_discovery(delivered)
        self.note(delivered)

    def note(self, delivered: Delivery) -> None:
        """Notes that a bundle is recorded as it was read."""
        with self._lock:
            self._known.add(delivered.sync_id)

    def _count_discovery(self, delivered: Delivery) -> None:
        self._context.instruments.discovered.labels(self._names.source_of(delivered.sync_id)).inc()
        if delivered.manifest is not None:
            delay = datetime.now(UTC).replace(tzinfo=None) - delivered.manifest.completed_at
            self._context.instruments.discovery_delay.observe(max(0.0, delay.total_seconds()))

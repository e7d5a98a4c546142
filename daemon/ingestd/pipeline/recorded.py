"""What is recorded, as far as this process knows, and what it has recorded since the last round."""

import threading
from collections.abc import Set
from datetime import UTC, datetime

from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.names import Names
from ingestd.store import batch


class Recorded:
    """The recorded sync_ids. Only the scanner's thread changes them; any thread may look whether one is among them."""

    def __init__(self, context: Context, names: Names) -> None:
        self._context, self._names = context, names
        self._lock = threading.Lock()
        self._known: set[str] | None = None
        self.changed: list[str] = []
        """sync_ids that were recorded or have changed"""
        self.unqueued = 0
        """how many of them were not queued with their recording"""

    def __contains__(self, sync_id: str) -> bool:
        return self._known is not None and sync_id in self._known

    @property
    def known(self) -> Set[str]:
        return self._known or frozenset()

    def load(self) -> None:
        """Reads once what is recorded already."""
        if self._known is None:
            known = self._context.db.read(batch.known_sync_ids)
            with self._lock:
                self._known = known

    def missing(self, sync_ids: frozenset[str]) -> frozenset[str]:
        """Those of some sync_ids that are not recorded; for any thread."""
        with self._lock:
            return sync_ids - (self._known or frozenset())

    def note_changed(self, delivered: Delivery, *, is_queued: bool = False) -> None:
        """Notes that a reading was recorded, and that its batch is new or has changed."""
        self.changed.append(delivered.sync_id)
        self.unqueued += not is_queued
        if delivered.sync_id not in self:
            self._count_discovery(delivered)
        self.note(delivered)

    def note(self, delivered: Delivery) -> None:
        """Notes that a bundle is recorded as it was read."""
        with self._lock:
            assert self._known is not None, "it is loaded before anything is read"
            self._known.add(delivered.sync_id)

    def _count_discovery(self, delivered: Delivery) -> None:
        self._context.instruments.discovered.labels(self._names.source_of(delivered.sync_id)).inc()
        if delivered.manifest is not None:
            delay = datetime.now(UTC).replace(tzinfo=None) - delivered.manifest.completed_at
            self._context.instruments.discovery_delay.observe(max(0.0, delay.total_seconds()))

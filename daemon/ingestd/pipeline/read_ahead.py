"""Reads the items of small bundles before workers take their jobs: on a far mount that takes much longer than to import
them, and a worker has one bundle at a time.
"""

from collections.abc import Sequence

from ingestd.mount.attempt import Attempt
from ingestd.mount.mountinfo import MountIdentity
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.group_reading import GroupReading
from ingestd.service import tick
from ingestd.store import next_jobs

MAX_JOBS, MAX_ITEMS, MAX_TOGETHER = 128, 16, 64
"""how many jobs are looked at, how many items a small bundle has, and how many items are read together"""
CHECK_SECONDS = 1.0
UNTIL_WOKEN = 3600.0


class ReadAhead:
    """Reads for the jobs that are claimed next, in their order. Only where the mount is remote."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def run_once(self) -> float:
        """Reads one group of items; returns the seconds until the next round."""
        mount = self._context.mount
        if not mount.is_remote or mount.hanging_items():
            return UNTIL_WOKEN
        queued = self._context.db.read(lambda tx: next_jobs.next_small(tx, MAX_ITEMS, MAX_JOBS))
        wanted = self._context.ahead.without(sync_id for sync_id, _ in queued)
        if not wanted:
            return UNTIL_WOKEN
        identity = mount.check_cached(CHECK_SECONDS)
        self._read([(sync_id, sha256) for sync_id, sha256 in queued if sync_id in wanted], identity)
        return 0.0

    def _read(self, bundles: Sequence[tuple[str, str]], identity: MountIdentity) -> None:
        group: list[Delivery] = []
        count = 0
        for sync_id, sha256 in bundles:
            if count >= MAX_TOGETHER:
                break
            delivered = self._context.ahead.begin(sync_id, sha256, identity)
            if delivered is not None:
                group.append(delivered)
                count += delivered.index.item_count
        _Round(self._context, group).run()


class _Round:
    """Reads one group of bundles. Each counts as read as soon as all of its items are: workers wait for it."""

    def __init__(self, context: Context, group: Sequence[Delivery]) -> None:
        self._context, self._left = context, list(group)
        self._reading = GroupReading(group)
        self._attempt = Attempt(context.mount, self._reading.requests, self._on_bytes)

    def run(self) -> None:
        try:
            self._attempt.read(self._reading.requests)
        finally:
            for delivered in self._left:
                self._context.ahead.end(delivered, self._reading.of(delivered, self._attempt.readings))

    def _on_bytes(self, count: int) -> None:
        tick()
        self._context.instruments.documents_read.inc(count)
        self._end_read()

    def _end_read(self) -> None:
        """Ends those that were read. Readings come in the order of bundles."""
        while self._left and (found := self._reading.of(self._left[0], self._attempt.readings)) is not None:
            self._context.ahead.end(self._left.pop(0), found)

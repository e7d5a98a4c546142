"""Reads the items of small bundles before workers take their jobs: on a far mount that takes much longer than to import
them, and a worker has one bundle at a time.
"""

from collections.abc import Sequence

from ingestd.mount.attempt import Attempt, ReadingsByOrdinal
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import ItemRequest
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.group_reading import readings_of
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
        mount.check_cached(CHECK_SECONDS)
        assert mount.identity is not None, "it was checked"
        self._read([(sync_id, sha256) for sync_id, sha256 in queued if sync_id in wanted], mount.identity)
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
        found: dict[str, ReadingsByOrdinal] = {}
        try:
            found = readings_of(group, self._request)
        finally:
            for delivered in group:
                self._context.ahead.end(delivered, found.get(delivered.sync_id))

    def _request(self, requests: list[ItemRequest]) -> ReadingsByOrdinal:
        attempt = Attempt(self._context.mount, requests, self._count_bytes)
        attempt.read(requests)
        return attempt.readings

    def _count_bytes(self, count: int) -> None:
        tick()
        self._context.instruments.documents_read.inc(count)

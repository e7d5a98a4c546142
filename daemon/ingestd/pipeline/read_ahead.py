"""Reads the items of small bundles before workers take their jobs: on a far mount that takes much longer than to import
them, and a worker has one bundle at a time.
"""

from collections.abc import Sequence

import msgspec.structs

from ingestd.format.entry import Entry
from ingestd.model import Action
from ingestd.mount.attempt import Attempt, ReadingsByOrdinal
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.reader import is_missing, requests_for
from ingestd.mount.records import Reading
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.service import tick
from ingestd.store import next_jobs

MAX_JOBS, MAX_ITEMS, MAX_TOGETHER = 128, 16, 64
"""how many jobs are looked at, how many items a small bundle has, and how many items are read together"""
CHECK_SECONDS = 1.0
UNREAD = Reading(-1, problem="it was not read")
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
            found = self._readings(group)
        finally:
            for delivered in group:
                self._context.ahead.end(delivered, found.get(delivered.sync_id))

    def _readings(self, group: Sequence[Delivery]) -> dict[str, ReadingsByOrdinal]:
        """The readings of those bundles of which all items could be read, by sync_id."""
        owners: list[tuple[str, Entry]] = []
        for delivered in group:
            owners += [(delivered.sync_id, entry) for entry in entries_of(delivered)]
        requests = requests_for(
            msgspec.structs.replace(entry, ordinal=number) for number, (_, entry) in enumerate(owners)
        )
        attempt = Attempt(self._context.mount, requests, self._count_bytes)
        attempt.read(requests)
        missing = {one.ordinal for one in requests if is_missing(one, attempt.readings.get(one.ordinal, UNREAD))}
        found: dict[str, ReadingsByOrdinal] = {delivered.sync_id: {} for delivered in group}
        for number, (sync_id, entry) in enumerate(owners):
            reading = attempt.readings.get(number, Reading(number))
            reading.ordinal = entry.ordinal
            found.setdefault(sync_id, {})[entry.ordinal] = reading
        for number in missing:
            found.pop(owners[number][0], None)
        return found

    def _count_bytes(self, count: int) -> None:
        tick()
        self._context.instruments.documents_read.inc(count)


def entries_of(delivered: Delivery) -> list[Entry]:
    """The entries whose items an import reads."""
    manifest = delivered.manifest
    return [] if manifest is None or manifest.action is Action.REMOVE else list(manifest.standing())

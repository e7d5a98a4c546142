"""Reads items for an import, and tries again where a problem may pass.

Transient problems (EIO, a stale handle, a missed deadline) are retried for mount.settle_seconds. Any other file problem
counts only if the mount is still the one the run began with, so that a dying mount fails no item.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from ingestd.backoff import backoff
from ingestd.errors import MountUnavailable
from ingestd.format.entry import Entry
from ingestd.model import Reason
from ingestd.mount.access import Mount
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import ItemRequest, Reading

FIRST_PAUSE, MAX_PAUSE = 0.1, 10.0

ReadingsByOrdinal = dict[int, Reading]


class ItemReader:
    """Reads the items of one run.

    `pause(seconds)` waits between tries and raises when the daemon stops; `on_bytes(count)` reports progress. Until
    `fresh_until` (monotonic seconds) absent files are retried, too: remote file systems may list them late.
    """

    def __init__(
        self,
        mount: Mount,
        identity: MountIdentity,
        pause: Callable[[float], None],
        on_bytes: Callable[[int], None] = lambda _count: None,
        fresh_until: float = 0.0,
    ) -> None:
        self._mount, self._identity = mount, identity
        self._fresh_until = fresh_until
        self._pause, self._on_bytes = pause, on_bytes

    def read(self, entries: Sequence[Entry]) -> ReadingsByOrdinal:
        """Documents and file checks of the valid entries that have a folder. Raises MountUnavailable."""
        items = [ItemRequest(e.ordinal, e.path, e.files, not e.is_cover) for e in entries if e.path and not e.problem]
        readings = self._read_once(items)
        self._retry(items, readings)
        if any(reading.problem for reading in readings.values()):
            self._mount.require_same(self._identity)
        return readings

    def _read_once(self, items: list[ItemRequest]) -> ReadingsByOrdinal:
        """Reads each item once. When the mount stops answering, the rest of the items get a transient problem."""
        readings: ReadingsByOrdinal = {}
        if not items:
            return readings
        try:
            for reading in self._mount.read_items(items, self._on_bytes):
                readings[reading.ordinal] = reading
        except MountUnavailable as error:
            for item in items[len(readings) :]:
                unread = Reading(item.ordinal, reason=Reason.FILE_UNREADABLE, problem=str(error), transient=True)
                readings[item.ordinal] = unread
        return readings

    def _retry(self, items: list[ItemRequest], readings: ReadingsByOrdinal) -> None:
        """Reads again what may succeed later, until it does or mount.settle_seconds have passed."""
        deadline = time.monotonic() + self._mount.settings.settle_seconds
        for pause in pauses():
            items = [item for item in items if self._may_pass(readings[item.ordinal])]
            if not items or time.monotonic() >= deadline:
                return
            self._mount.require_same(self._identity)
            self._pause(min(pause, max(0.0, deadline - time.monotonic())))
            readings.update(self._read_once(items))
            # Each item is first in turn, so that a hanging one does not keep the others from being read.
            items = items[1:] + items[:1]

    def _may_pass(self, reading: Reading) -> bool:
        return reading.transient or (reading.absent and time.monotonic() < self._fresh_until)


def pauses() -> Iterator[float]:
    """Pauses between tries to read the mount, in seconds."""
    return backoff(FIRST_PAUSE, MAX_PAUSE)

"""Reads items ahead of the import: while one chunk is written, the documents of the next are on their way.

What may pass (EIO, a stale handle, a deadline) is tried again for mount.settle_seconds; before any other file problem
counts, the mount must still be the one the run began with. A dying mount fails no item.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from ingestd.errors import MountUnavailable
from ingestd.format.entry import Entry
from ingestd.model import Reason
from ingestd.mount import wire
from ingestd.mount.access import Mount, MountIdentity

FIRST_PAUSE, MAX_PAUSE = 0.1, 10.0

Readings = dict[int, wire.Reading]
"""What was read, by ordinal."""


class Reader:
    """Reads for one run. `pause(seconds)` waits between tries and raises when the daemon stops; `on_bytes(n)` is told
    of progress. Until `fresh_until` (monotonic) what is absent is looked for again: folders may be listed late."""

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

    def read(self, entries: Sequence[Entry]) -> Readings:
        """Documents and file checks of those entries that have a folder. Raises MountUnavailable."""
        wants = [wire.Want(e.ordinal, e.path, e.files, not e.is_cover) for e in entries if e.path and not e.problem]
        readings = self._read(wants)
        self._retry(wants, readings)
        if any(reading.problem for reading in readings.values()):
            self._mount.demand(self._identity)
        return readings

    def _read(self, wants: list[wire.Want]) -> Readings:
        """One try at each; what gives no answer, and what comes after it, may still pass."""
        readings: Readings = {}
        if not wants:
            return readings
        try:
            for reading in self._mount.read_items(wants, self._on_bytes):
                readings[reading.ordinal] = reading
        except MountUnavailable as silence:
            for want in wants[len(readings) :]:
                unread = wire.Reading(want.ordinal, reason=Reason.FILE_UNREADABLE, problem=str(silence), transient=True)
                readings[want.ordinal] = unread
        return readings

    def _retry(self, wants: list[wire.Want], readings: Readings) -> None:
        """Reads again what may pass, until it does or its time is up."""
        deadline = time.monotonic() + self._mount.settings.settle_seconds
        for pause in pauses():
            wants = [want for want in wants if self._may_pass(readings[want.ordinal])]
            if not wants or time.monotonic() >= deadline:
                return
            self._mount.demand(self._identity)
            self._pause(min(pause, max(0.0, deadline - time.monotonic())))
            readings.update(self._read(wants))
            # Each is the first once, so that one which gives no answer cannot keep the others from being read.
            wants = wants[1:] + wants[:1]

    def _may_pass(self, reading: wire.Reading) -> bool:
        return reading.transient or (reading.absent and time.monotonic() < self._fresh_until)


def pauses() -> Iterator[float]:
    """Growing pauses, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, MAX_PAUSE)

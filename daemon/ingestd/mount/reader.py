"""Reads items for an import, and tries again where a problem may pass.

Transient problems (EIO, a stale handle, a missed deadline) are retried for mount.settle_seconds. Any other file problem
counts only if the mount is still the one the run began with, so that a dying mount fails no item. What ends a helper or
makes it silent fails an item only when that item was read alone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ingestd.backoff import backoff
from ingestd.format.entry import Entry
from ingestd.mount.access import Mount
from ingestd.mount.attempt import Attempt, ReadingsByOrdinal
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import ItemRequest, Reading

FIRST_PAUSE, MAX_PAUSE = 0.1, 10.0


class FirstTry:
    """What a first try to read some items found. Each item of it is used once."""

    def __init__(self) -> None:
        self._readings: ReadingsByOrdinal = {}
        self._left_out: set[int] = set()

    def keep(self, readings: ReadingsByOrdinal, left_out: set[int]) -> None:
        self._readings, self._left_out = dict(readings), set(left_out)

    def take(self, entries: Sequence[Entry]) -> tuple[ReadingsByOrdinal, set[int]] | None:
        """What was found of these items; None if that is not known of all of them."""
        wanted = {entry.ordinal for entry in entries}
        if not wanted <= self._readings.keys() | self._left_out:
            return None
        left_out = wanted & self._left_out
        self._left_out -= left_out
        return {ordinal: self._readings.pop(ordinal) for ordinal in sorted(wanted - left_out)}, left_out


class ItemReader:
    """Reads the items of one run.

    `pause(seconds)` waits between tries and raises when the daemon stops; `on_bytes(count)` reports progress. Until
    `fresh_until` (monotonic seconds) absent files are retried, too: remote file systems may list them late.
    `require_trusted` is called when something is missing: it raises MountUnavailable if that says nothing.
    `settled_at()` is until when (monotonic seconds) it is worth trying again what cannot be read now. `bundle` bounds
    how much may hang for one. What `first_try` has is not read once more before a second try.
    """

    def __init__(
        self,
        mount: Mount,
        identity: MountIdentity,
        pause: Callable[[float], None],
        on_bytes: Callable[[int], None] = lambda _count: None,
        fresh_until: float = 0.0,
        require_trusted: Callable[[], None] = lambda: None,
        settled_at: Callable[[], float] | None = None,
        bundle: str = "",
        first_try: FirstTry | None = None,
    ) -> None:
        self._mount, self._identity, self._bundle = mount, identity, bundle
        self._fresh_until, self._first_try = fresh_until, first_try or FirstTry()
        self._pause, self._on_bytes, self._require_trusted = pause, on_bytes, require_trusted
        self.settled_at = settled_at or self._settled_from_now

    @property
    def is_far(self) -> bool:
        """Whether each read waits for a network."""
        return self._mount.is_remote

    def read(self, entries: Sequence[Entry]) -> ReadingsByOrdinal:
        """Documents and file checks of the first entries: of as many as fit into memory, and at least of one.

        An invalid entry, and one without a folder, has an empty reading. Raises MountUnavailable.
        """
        attempt = self._attempt(entries)
        self._retry(attempt, self.settled_at(), lambda _waiting: False)
        return self._readings(attempt, entries, set())

    def read_once(self, entries: Sequence[Entry]) -> tuple[ReadingsByOrdinal, set[int]]:
        """As `read`, without a second try. Returns also the ordinals that it leaves out: they may be read later."""
        if (found := self._first_try.take(entries)) is not None:
            return found
        attempt = self._attempt(entries)
        left_out = {item.ordinal for item in self._waiting(attempt)}
        return self._readings(attempt, entries, left_out), left_out

    def read_some(self, entries: Sequence[Entry], until: float) -> ReadingsByOrdinal:
        """As `read`, but only until one of them can be read. After `until` (monotonic seconds) none is left out."""
        attempt = self._attempt(entries)
        waiting = self._retry(attempt, until, lambda waiting: len(waiting) < len(attempt.items))
        return self._readings(attempt, entries, {item.ordinal for item in waiting})

    def _settled_from_now(self) -> float:
        return time.monotonic() + self._mount.settings.settle_seconds

    def _attempt(self, entries: Sequence[Entry]) -> Attempt:
        items = requests_for(entries)
        attempt = Attempt(self._mount, items, self._on_bytes, self._bundle)
        attempt.read(items)
        return attempt

    def _readings(self, attempt: Attempt, entries: Sequence[Entry], left_out: set[int]) -> ReadingsByOrdinal:
        """What was read, if it counts. Raises MountUnavailable if a problem or an absence is the mount's."""
        if any(reading.problem for reading in attempt.readings.values()):
            self._mount.require_same(self._identity)
        if any(is_missing(item, attempt.readings.get(item.ordinal)) for item in attempt.items):
            self._require_trusted()
        wanted = [entry.ordinal for entry in entries if entry.ordinal < attempt.end and entry.ordinal not in left_out]
        return {ordinal: attempt.readings.get(ordinal) or Reading(ordinal) for ordinal in wanted}

    def _retry(
        self, attempt: Attempt, deadline: float, is_enough: Callable[[list[ItemRequest]], bool]
    ) -> list[ItemRequest]:
        """Reads again what may succeed later, until `is_enough` or the deadline; returns what is still worth a try."""
        for pause in pauses():
            items = self._waiting(attempt)
            is_over = time.monotonic() >= deadline
            if is_over and not attempt.untried:
                return []
            if not items or is_enough(items):
                return items
            self._mount.require_same(self._identity)
            if not is_over:  # else what is untried has to be read alone, now
                self._pause(min(pause, max(0.0, deadline - time.monotonic())))
            attempt.read(items)
        raise AssertionError("pauses do not end")

    def _waiting(self, attempt: Attempt) -> list[ItemRequest]:
        return [item for item in attempt.items if self._may_pass(attempt, item)]

    def _may_pass(self, attempt: Attempt, item: ItemRequest) -> bool:
        if item.ordinal in attempt.untried:
            return True
        reading = attempt.readings[item.ordinal]
        return reading.transient or (reading.absent and time.monotonic() < self._fresh_until)


def requests_for(entries: Iterable[Entry]) -> list[ItemRequest]:
    """What is to be read of some entries: of an invalid entry, and one without a folder, nothing."""
    return [ItemRequest(e.ordinal, e.path, e.files, not e.is_cover) for e in entries if e.path and not e.problem]


def is_missing(item: ItemRequest, reading: Reading | None) -> bool:
    """Whether something of an item that was read was not found, or nothing was found of it at all."""
    return reading is not None and (bool(reading.problem) or reading.absent or not (item.files or reading.documents))


def pauses() -> Iterator[float]:
    """Pauses between tries to read the mount, in seconds."""
    return backoff(FIRST_PAUSE, MAX_PAUSE)

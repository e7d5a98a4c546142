"""Manifests that are missing or half-written although their sentinel exists: how long to wait for each."""

import threading
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from ingestd.backoff import backoff

FIRST_PAUSE, MAX_PAUSE = 0.2, 15.0


@dataclass(slots=True)
class _Wait:
    """The wait for one manifest; monotonic times."""

    since: float
    retry_at: float = 0.0
    pauses: Iterator[float] = field(default_factory=lambda: backoff(FIRST_PAUSE, MAX_PAUSE))


class Settling:
    """Which manifests are waited for, and when to read each again. Thread-safe.

    An object store may list a sentinel before its manifest, so such a manifest gets `seconds` to become readable.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waits: dict[str, _Wait] = {}

    def __contains__(self, sync_id: str) -> bool:
        with self._lock:
            return sync_id in self._waits

    @property
    def names(self) -> frozenset[str]:
        """The sync_ids of all manifests that are waited for."""
        with self._lock:
            return frozenset(self._waits)

    def due(self) -> list[str]:
        """The manifests to read again now, in the order in which the waits began."""
        now = time.monotonic()
        with self._lock:
            return [sync_id for sync_id, wait in self._waits.items() if wait.retry_at <= now]

    def next_retry_at(self) -> float:
        """Monotonic time of the next retry; infinity if no manifest is waited for."""
        with self._lock:
            return min((wait.retry_at for wait in self._waits.values()), default=float("inf"))

    def postpone(self, sync_id: str) -> bool:
        """Records that a manifest was unreadable; True if it may be retried, False if its time is over."""
        now = time.monotonic()
        with self._lock:
            is_first = sync_id not in self._waits
            wait = self._waits.setdefault(sync_id, _Wait(now))
            wait.retry_at = min(now + next(wait.pauses), max(now, wait.since + self._seconds))
            return is_first or now - wait.since < self._seconds

    def end(self, sync_id: str) -> None:
        """Ends the wait for a manifest, if there is one."""
        with self._lock:
            self._waits.pop(sync_id, None)

    def keep_only(self, listed: Set[str]) -> None:
        """Ends the waits for manifests whose sentinel is gone."""
        with self._lock:
            self._waits = {sync_id: wait for sync_id, wait in self._waits.items() if sync_id in listed}

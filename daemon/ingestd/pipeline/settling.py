"""Bundles to read again later: half-written manifests, and bundles whose last reading left a doubt or failed."""

import heapq
import math
import threading
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import count, islice

from ingestd.backoff import backoff

FIRST_PAUSE, MAX_PAUSE = 0.2, 15.0
MAX_AWAITED = 10_000
"""manifests that one listing looks for: listings of many must stay cheap, and retries find the others, too"""
HASTE = 1.0
"""seconds from a file event to the next try: a file that changes all the time must not be read all the time"""


@dataclass(slots=True)
class _Wait:
    """The wait for one bundle; monotonic times."""

    since: float
    retry_at: float
    pauses: Iterator[float]
    news_at: float
    """when it came, or something about it changed"""
    reason: str = ""
    """why the last reading did not help"""
    is_listed: bool = False
    """whether the latest listing that looked for its manifest named it"""


@dataclass(slots=True)
class Waits:
    """Which bundles to read again, and when: each with pauses of its own that grow from `first` to `longest` seconds.

    Thread-safe. Only `names` and `keep_only` look at all bundles; there may be very many.
    """

    first: float
    longest: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waits: dict[str, _Wait] = field(default_factory=dict)
    _order: list[tuple[float, int, str]] = field(default_factory=list)
    """heap of retries; those that do not match `_waits` are outdated"""
    _due: list[tuple[float, float, str]] = field(default_factory=list)
    """heap of retries that are due, the latest news first: thousands that are waited for in vain delay no fresh one"""
    _overdue: list[tuple[float, float, str]] = field(default_factory=list)
    """the same retries, those due for longest first: fresh ones do not keep them from their turns"""
    _numbers: Iterator[int] = field(default_factory=count)

    def __contains__(self, sync_id: str) -> bool:
        return sync_id in self._waits

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def names(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._waits)

    def add(self, sync_id: str) -> None:
        """Makes a bundle due now, unless it is waited for already."""
        with self._lock:
            if sync_id not in self._waits:
                self._schedule(sync_id, self._begin(sync_id), 0.0)

    def due(self, limit: int) -> list[str]:
        """At most `limit` bundles to read again now: half are those with the latest news, half those due for longest.

        Each is due again after its longest pause, unless it is postponed or ended before.
        """
        now = time.monotonic()
        found: list[str] = []
        with self._lock:
            self._collect_due(now)
            while len(found) < limit and self._has_due(heap := self._overdue if len(found) % 2 else self._due):
                *_, sync_id = heapq.heappop(heap)
                found.append(sync_id)
                self._schedule(sync_id, self._waits[sync_id], self.longest)
        return found

    def next_retry_at(self) -> float:
        """Monotonic time of the next retry; infinity if there is none."""
        with self._lock:
            return self._overdue[0][1] if self._has_due(self._overdue) else self._next()

    def postpone(self, sync_id: str, longest: float = math.inf) -> None:
        """Records that reading a bundle did not help; it is due again after its next pause, but `longest` at most."""
        with self._lock:
            wait = self._waits.get(sync_id) or self._begin(sync_id)
            self._schedule(sync_id, wait, min(next(wait.pauses), longest))

    def hasten(self, sync_id: str) -> None:
        """Makes a bundle due within HASTE seconds, because something about it has changed; pauses begin again."""
        with self._lock:
            wait = self._waits.get(sync_id)
            if wait is not None and wait.retry_at > time.monotonic() + HASTE:
                wait.pauses, wait.news_at = backoff(self.first, self.longest), time.monotonic()
                self._schedule(sync_id, wait, HASTE)

    def age(self, sync_id: str) -> float:
        """Seconds for which a bundle has been waited for; 0 if it is not."""
        wait = self._waits.get(sync_id)
        return 0.0 if wait is None else time.monotonic() - wait.since

    def end(self, sync_id: str) -> bool:
        """Ends the wait for a bundle; False if there was none."""
        with self._lock:
            return self._waits.pop(sync_id, None) is not None

    def keep_only(self, listed: Set[str]) -> None:
        """Ends the waits for bundles whose sentinel is gone."""
        for sync_id in self.names - listed:
            self.end(sync_id)

    def _begin(self, sync_id: str) -> _Wait:
        now = time.monotonic()
        wait = self._waits[sync_id] = _Wait(now, 0.0, backoff(self.first, self.longest), now)
        return wait

    def _schedule(self, sync_id: str, wait: _Wait, pause: float) -> None:
        wait.retry_at = time.monotonic() + pause
        heapq.heappush(self._order, (wait.retry_at, next(self._numbers), sync_id))

    def _collect_due(self, now: float) -> None:
        while self._next() <= now:
            retry_at, _, sync_id = heapq.heappop(self._order)
            wait = self._waits[sync_id]
            heapq.heappush(self._due, (-wait.news_at, retry_at, sync_id))
            heapq.heappush(self._overdue, (retry_at, retry_at, sync_id))

    def _has_due(self, heap: list[tuple[float, float, str]]) -> bool:
        """Whether a retry is due and was not taken; forgets outdated ones that come before it."""
        while heap and not self._is_present(heap[0][1], heap[0][2]):
            heapq.heappop(heap)
        return bool(heap)

    def _next(self) -> float:
        while self._order and not self._is_present(self._order[0][0], self._order[0][2]):
            heapq.heappop(self._order)
        return self._order[0][0] if self._order else math.inf

    def _is_present(self, retry_at: float, sync_id: str) -> bool:
        wait = self._waits.get(sync_id)
        return wait is not None and wait.retry_at == retry_at


class Settling(Waits):
    """Manifests that are missing or half-written although their sentinel exists.

    An object store may list a sentinel before its manifest, so such a manifest gets `seconds` to become readable.
    """

    __slots__ = ("_looked", "_seconds")

    def __init__(self, seconds: float) -> None:
        super().__init__(FIRST_PAUSE, MAX_PAUSE)
        self._seconds = seconds
        self._looked = 0

    def awaited(self) -> list[str]:
        """Whose manifests the next listing is to look for: MAX_AWAITED at a time, in turn."""
        with self._lock:
            found = list(islice(self._waits, self._looked, self._looked + MAX_AWAITED))
            self._looked = self._looked + MAX_AWAITED if len(found) == MAX_AWAITED else 0
            return found

    def appeared(self, awaited: Iterable[str], listed: Set[str]) -> list[str]:
        """Those of the awaited whose manifests are listed now, and were not before; to be read at once.

        A manifest that is not listed is tried like before: a listing may be stale, or not complete.
        """
        found = []
        with self._lock:
            for sync_id in awaited:
                wait = self._waits.get(sync_id)
                if wait is not None:
                    if sync_id in listed and not wait.is_listed:
                        found.append(sync_id)
                    wait.is_listed = sync_id in listed
        return found

    def reason(self, sync_id: str) -> str:
        """Why a manifest is waited for; empty if it is not."""
        wait = self._waits.get(sync_id)
        return "" if wait is None else wait.reason

    def try_again(self, sync_id: str, reason: str = "") -> bool:
        """Records that a manifest was unreadable, and why; True if it may be retried, False if its time is over."""
        is_first = sync_id not in self
        self.postpone(sync_id)
        now = time.monotonic()
        with self._lock:
            wait = self._waits[sync_id]
            wait.reason = reason
            over_at = wait.since + self._seconds
            if now < over_at < wait.retry_at:
                self._schedule(sync_id, wait, over_at - now)
            return is_first or now < over_at

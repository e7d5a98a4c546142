"""Bundles to read for the first time or again at once: named by the watcher or a request, or found by a listing."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Set
from itertools import islice

MAX_WAITING = 1_000_000
"""names that listings may make wait; a later one finds the rest again"""


class Names:
    """The sync_ids to read next, and the source that named each. Thread-safe.

    Sources are the labels of `ingestd_batches_discovered_total`; a bundle that only a listing found has source `scan`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._sources: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sync_ids: Iterable[str], source: str) -> None:
        with self._lock:
            for sync_id in sync_ids:
                self._waiting[sync_id] = None
                self._waiting.move_to_end(sync_id)
                self._sources[sync_id] = source

    def add_listed(self, sync_ids: Iterable[str]) -> None:
        """Adds what a listing found, without changing what was named before."""
        with self._lock:
            for sync_id in islice(sync_ids, max(0, MAX_WAITING - len(self._waiting))):
                self._waiting.setdefault(sync_id)

    def missing(self, sync_ids: Set[str]) -> Set[str]:
        """Those of some names that do not wait."""
        with self._lock:
            return sync_ids - self._waiting.keys()

    def keep_only(self, listed: Set[str]) -> None:
        """Drops names that only a listing found, and whose sentinel is gone by now."""
        with self._lock:
            for sync_id in self._waiting.keys() - self._sources.keys() - listed:
                del self._waiting[sync_id]

    def take(self, limit: int) -> list[str]:
        """At most `limit` names. From many, half are the newest and half the oldest: neither wait for all others."""
        with self._lock:
            count = min(limit, len(self._waiting))
            is_newest = len(self._waiting) > limit
            return [self._waiting.popitem(last=is_newest and number % 2 == 0)[0] for number in range(count)]

    def put_back(self, sync_id: str) -> None:
        """Adds a name again that was taken and not read."""
        with self._lock:
            self._waiting[sync_id] = None

    def source_of(self, sync_id: str) -> str:
        with self._lock:
            return self._sources.get(sync_id, "scan")

    def forget(self, sync_id: str) -> None:
        """Forgets the source of a bundle that needs no more reading."""
        with self._lock:
            self._sources.pop(sync_id, None)

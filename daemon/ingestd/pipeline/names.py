"""Bundles that were named to the scanner, by the watcher or by a request."""

import threading
from collections.abc import Iterable, Set


class Names:
    """The sync_ids that the next round must read, and the source that named each. Thread-safe.

    Sources are the labels of `ingestd_batches_discovered_total`; a bundle that only a listing found has source `scan`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def add(self, sync_ids: Iterable[str], source: str) -> None:
        with self._lock:
            self._waiting.update(dict.fromkeys(sync_ids, source))

    def take(self, remember: Set[str]) -> set[str]:
        """The names added since the last call. The sources of `remember` are kept, those of other names are not."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
            self._taken = {name: source for name, source in self._taken.items() if name in remember} | taken
            return set(taken)

    def put_back(self, sync_ids: Set[str]) -> None:
        """Adds names again that were taken, for a round that failed."""
        with self._lock:
            self._waiting = {name: self._taken[name] for name in sync_ids} | self._waiting

    def source_of(self, sync_id: str) -> str:
        with self._lock:
            return self._taken.get(sync_id, "scan")

"""Shares mount.readers among the requests that read items at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MIN_SHARE = 2
"""with one, items would be read without threads, and one that hangs would stop the others"""


class ReaderShares:
    """Each request gets the readers that are free, or its fair part where others have them already. Thread-safe.

    What a request got it keeps until it ends, a matter of seconds: for so long there may be more readers than `count`.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._taken: list[int] = []

    @contextmanager
    def share(self, item_count: int) -> Iterator[int]:
        """How many readers a request for so many items may use, until the end of the block."""
        readers = self._take(item_count)
        try:
            yield readers
        finally:
            with self._lock:
                self._taken.remove(readers)

    def _take(self, item_count: int) -> int:
        with self._lock:
            free, fair = self._count - sum(self._taken), self._count // (len(self._taken) + 1)
            readers = min(self._count, max(MIN_SHARE, min(item_count, max(free, fair))))
            self._taken.append(readers)
            return readers

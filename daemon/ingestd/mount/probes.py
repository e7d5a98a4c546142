"""Reading the beginnings of manifests, in a mount helper: each in a thread of its own, because it may never end."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ingestd.errors import Shortage
from ingestd.mount import manifests

RETRY_SECONDS = 0.5


class Probes:
    """Finds out which manifests can be read. Thread-safe.

    What lacks a thread or a descriptor waits for one: taken for readable, a manifest that hangs would stop a reader.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._working = 0

    def add(self, root: str, sync_id: str, answer: Callable[[], None]) -> None:
        """Calls `answer` once the beginning of a manifest can be read. Raises RuntimeError if there is no thread."""
        with self._lock:
            self._waiting.append(lambda: probe(root, sync_id, answer))
            self._working += 1
        try:
            threading.Thread(target=self._work, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._working -= 1
                if self._working or not self._waiting:
                    return  # one that works now does it next
                self._waiting.clear()
            raise

    def _work(self) -> None:
        try:
            while (work := self._take()) is not None:
                work()
        except BaseException:
            with self._lock:
                self._working -= 1
            raise

    def _take(self) -> Callable[[], None] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._working -= 1
            return None


def probe(root: str, sync_id: str, answer: Callable[[], None]) -> None:
    """Calls `answer` once the beginning of a manifest can be read, or that fails for a reason of its own."""
    while True:
        try:
            manifests.try_to_read(root, sync_id)
            break
        except Shortage:
            time.sleep(RETRY_SECONDS)
    with suppress(BrokenPipeError):
        answer()

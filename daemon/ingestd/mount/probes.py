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
        self._starting = 0

    def add(self, root: str, sync_id: str, answer: Callable[[], None]) -> None:
        """Calls `answer` once the beginning of a manifest can be read.

        Raises RuntimeError if there is no thread for it yet; a later `begin` starts one, or one that ends its work.
        """
        with self._lock:
            self._waiting.append(lambda: probe(root, sync_id, answer))
        self.begin()

    def begin(self) -> None:
        """Starts a thread for each that waits for one. Raises RuntimeError if there are too few."""
        while self._must_start():
            try:
                threading.Thread(target=self._work, daemon=True).start()
            except RuntimeError:
                with self._lock:
                    self._starting -= 1
                raise

    def _must_start(self) -> bool:
        with self._lock:
            is_due = len(self._waiting) > self._starting
            self._starting += is_due
            return is_due

    def _work(self) -> None:
        with self._lock:
            self._starting -= 1
            work = self._next()
        while work is not None:
            work()
            with self._lock:
                work = self._next()

    def _next(self) -> Callable[[], None] | None:
        return self._waiting.popleft() if self._waiting else None


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

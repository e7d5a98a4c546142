"""When a full scan is due."""

import math
import threading
import time


class FullScans:
    """The next full scan, and the last one that ended well. `interval`: seconds between two. Thread-safe."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._is_demanded = False
        self._due_at = 0.0
        self._last_success: float | None = None

    @property
    def last_success(self) -> float | None:
        """Wall-clock time of the last one that ended well."""
        with self._lock:
            return self._last_success

    def demand(self) -> None:
        """Makes one due now, also while one runs."""
        with self._lock:
            self._is_demanded = True

    def due_at(self) -> float:
        """When the next one is due (monotonic seconds)."""
        with self._lock:
            return -math.inf if self._is_demanded else self._due_at

    def begin(self) -> None:
        """One begins. If it fails it stays due, and one that is demanded from now on follows it."""
        with self._lock:
            self._is_demanded, self._due_at = False, 0.0

    def put_off(self) -> None:
        """Makes the next one due as after a good one: to list so much takes long, and is rarely of use."""
        with self._lock:
            self._due_at = time.monotonic() + self._interval

    def note_success(self) -> None:
        """One ended well."""
        self.put_off()
        with self._lock:
            self._last_success = time.time()

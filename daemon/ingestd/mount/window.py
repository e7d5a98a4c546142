"""How many bytes of documents one request may bring: a helper and the daemon hold them in memory together."""

import threading


class WindowFull(Exception):
    """The documents of an item do not fit any more; it is read again with a later request."""


class Window:
    """The bytes that the documents of one request may have. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, count: int, *, is_first: bool = False) -> None:
        """Raises WindowFull, but not for the first item of a request, which could never be read otherwise."""
        with self._lock:
            self._left -= count
            if self._left < 0 and not is_first:
                raise WindowFull

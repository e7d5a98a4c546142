"""Keeps records of a manifest, or documents of an item: a few in memory, and what is more in a file without a name.

So what the daemon needs for them does not grow with them, however many are read at the same time.
"""

import os
import tempfile
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

MAX_IN_MEMORY = 16 * 2**20
FOLDER = Path("/var/tmp")
"""where the file is, unless TMPDIR names another folder"""


class Spool:
    """Keeps bytes of one manifest or item. The file ends with the last function that gives some of them back."""

    def __init__(self, in_memory: int = MAX_IN_MEMORY) -> None:
        self._left = in_memory
        self._fd = -1
        self._end = 0

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Keeps some bytes; returns a function that gives them back. Without room for a file they stay in memory."""
        self._left -= len(data)
        if self._left >= 0:
            return lambda: data
        try:
            return partial(self._read, self._append(data), len(data))
        except OSError:
            return lambda: data

    def _append(self, data: bytes) -> int:
        """Writes to the end of the file; returns where."""
        if self._fd < 0:
            self._open()
        start = end = self._end
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, end)
            view, end = view[written:], end + written
        self._end = end
        return start

    def _open(self) -> None:
        folder = None if "TMPDIR" in os.environ or not os.access(FOLDER, os.W_OK) else FOLDER
        with tempfile.TemporaryFile(dir=folder) as file:
            self._fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._fd)

    def _read(self, start: int, length: int) -> bytes:
        parts = []
        while length:
            part = os.pread(self._fd, length, start)
            if not part:
                raise EOFError("a temporary file is shorter than what was written to it")
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return b"".join(parts)

"""Where lines go: at once, or through a bounded queue to one writer thread, so that a stalled reader stops nobody."""

import os
import select
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

MAX_QUEUED = 2000
TICK_SECONDS = 1.0


class Drops:
    """Counts events that were lost."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.total = 0

    def add(self) -> None:
        with self._lock:
            self.total += 1


class Sink(Protocol):
    def put(self, line: bytes) -> None: ...


class Outlet:
    """What structlog takes for a logger: every level goes into one sink."""

    def __init__(self, sink: Sink) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = sink.put


class DirectSink:
    """Writes each line at once to whatever is standard error at that moment."""

    def __init__(self, drops: Drops) -> None:
        self._drops = drops

    def put(self, line: bytes) -> None:
        try:
            if sys.stderr is not None:
                sys.stderr.write(line.decode())
        except (OSError, ValueError):
            self._drops.add()


class QueuedSink:
    """Hands lines to a thread that writes them to `fd`. What finds the queue full is dropped, and told later.

    `tell_drops` makes the line that says how many were lost, `due` gives further lines whose time has come, or all
    (True) when it ends.
    """

    def __init__(
        self,
        fd: int,
        drops: Drops,
        format_drops: Callable[[int], bytes],
        due: Callable[[bool], list[bytes]] = lambda _everything: [],
        limit: int = MAX_QUEUED,
    ) -> None:
        self._fd, self._drops, self._format_drops, self._due, self._limit = fd, drops, format_drops, due, limit
        self._told = drops.total
        self._ending = False
        # A SimpleQueue, because a destructor that warns may interrupt a `put`, which any lock of ours would not stand.
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Never waits, unless the writer has ended: after `close`, and in a fork."""
        if not self._thread.is_alive():
            self._write(line)
        elif self._queue.qsize() >= self._limit:
            self._drops.add()
        else:
            self._queue.put(line)

    def close(self, seconds: float) -> None:
        """Writes what is queued, and ends; gives up after `seconds`, and the thread ends with the process."""
        self._ending = True
        self._queue.put(b"")
        self._thread.join(seconds)

    def _run(self) -> None:
        while not (self._ending and self._queue.empty()):
            self._round()
        self._report_drops(everything=True)

    def _round(self) -> None:
        try:
            self._write(self._queue.get(timeout=TICK_SECONDS))
        except Empty:
            pass
        self._report_drops(everything=False)

    def _write(self, line: bytes) -> None:
        if not write_all(self._fd, line):
            self._drops.add()

    def _report_drops(self, *, everything: bool) -> None:
        for line in self._due(everything):
            self._write(line)
        missing = self._drops.total - self._told
        has_room = everything or self._queue.qsize() <= self._limit // 2
        # It is no loss of its own when this cannot be written, or it would be counted, and told, for ever.
        if missing and has_room and write_all(self._fd, self._format_drops(missing)):
            self._told += missing


def write_all(fd: int, data: bytes) -> bool:
    """Writes all of it, however long that takes; False if nobody can read it."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # Whoever shares the file may have made it non-blocking.
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()
        except OSError:
            return False
    return True

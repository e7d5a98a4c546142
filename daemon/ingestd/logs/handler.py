"""A handler of Python's logging with a bounded queue and a writer thread."""

import logging
import os
import select
import threading
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

MAX_QUEUED, FLUSH_SECONDS = 2000, 1.0


class BoundedQueueHandler(QueueHandler):
    """Queues formatted lines for a thread that writes them to `fd`. Drops and counts a line when the queue is full.

    Logs how many were dropped once half of the queue is free. (The stop of a QueueListener has no time limit.)
    """

    def __init__(self, fd: int, limit: int = MAX_QUEUED) -> None:
        # A SimpleQueue, because a destructor may log in the middle of a `put`; the lock of a Queue is not reentrant.
        self.queue: SimpleQueue[Any] = SimpleQueue()
        super().__init__(self.queue)
        self._fd, self._limit, self._lock = fd, limit, threading.RLock()
        self.dropped = self._reported = 0
        self._writer = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._writer.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never blocks while the writer runs. In a fork and after `close`, lines are written at once."""
        if not self._writer.is_alive():
            self._write(record)
        elif self.queue.qsize() >= self._limit:
            self.handleError(record)
        else:
            self.queue.put_nowait(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        with self._lock:
            self.dropped += 1

    def close(self) -> None:
        """Writes the queued lines, for up to FLUSH_SECONDS. At exit, Python's logging calls it."""
        self.drain(FLUSH_SECONDS)
        super().close()

    def drain(self, seconds: float) -> bool:
        """Writes the queued lines and ends the writer; False if that takes longer."""
        self.queue.put_nowait(None)
        if self._writer.ident is not None:  # else it could not be started
            self._writer.join(seconds)
        return not self._writer.is_alive()

    def _run(self) -> None:
        for record in iter(self.queue.get, None):
            self._write(record)
        self._report_dropped()

    def _write(self, record: logging.LogRecord) -> None:
        if not write_all(self._fd, f"{record.msg}\n".encode()):
            self.handleError(record)
        if self.queue.qsize() <= self._limit // 2:
            self._report_dropped()

    def _report_dropped(self) -> None:
        missing = self.dropped - self._reported
        event = {"level": "warning", "event": "log_lines_dropped", "count": missing}
        record = logging.makeLogRecord({"levelno": logging.WARNING, "msg": event, "_logger": None, "_name": "warning"})
        # A report that cannot be written does not count as dropped, or it would be reported again and again.
        if missing and write_all(self._fd, f"{self.format(record)}\n".encode()):
            self._reported += missing


def write_all(fd: int, data: bytes) -> bool:
    """Writes all of `data`, however long that takes; False if it cannot be written."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # another process that shares the file has made it non-blocking
            select.select([], [fd], [])
        except OSError:
            return False
    return True

"""What a mount helper sends back: readings in groups, and progress, so that only silence trips the deadline."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from ingestd.mount import wire
from ingestd.mount.records import Reading
from ingestd.mount.repeating import repeating

REPORT_SECONDS, FLUSH_SECONDS = 0.5, 0.1
MAX_GROUP_READINGS, MAX_GROUP_BYTES, MAX_PART_BYTES = 256, 2**18, 2**22
MAX_BUFFERED = 2**16
"""bytes, what a pipe takes at once"""


class ReplyChannel:
    """Sends replies to the daemon. Thread-safe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        self._frames = bytearray()
        self._group: list[Reading] = []
        self._group_bytes = 0
        self._steps: deque[int] = deque()
        """bytes read by each step that was not reported yet; without a lock, as there are several for each item"""

    def begin(self) -> None:
        """Begins the replies to a request, whose silence counts from its arrival."""
        self._sent_at = time.monotonic()
        self._frames.clear()  # what an error left of the request before

    def send(self, reply: wire.Reply) -> None:
        with self._lock:
            wire.send(self._fd, reply)
            self._sent_at = time.monotonic()

    def buffer(self, reply: wire.Reply) -> None:
        """Sends a short reply with others, when they are many or `flush` is called: each write wakes the daemon."""
        with self._lock:
            self._frames += wire.frame(reply)
            if len(self._frames) >= MAX_BUFFERED:
                self._flush()

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Sends what is buffered every FLUSH_SECONDS, and at the end of the block: what comes next may hang."""
        with repeating(self.flush, FLUSH_SECONDS):
            yield
        self.flush()

    def flush(self) -> None:
        """Sends what was buffered."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._frames:
            wire.write(self._fd, bytes(self._frames))
            self._frames.clear()
            self._sent_at = time.monotonic()

    def report(self, byte_count: int) -> None:
        """Counts one step of a request that takes several: a block or a document was read, or a file verified."""
        self._steps.append(byte_count)

    def keep_alive(self) -> None:
        """Reports one step, if the last reply is long ago: for the only thread of a helper, that may fork."""
        if time.monotonic() - self._sent_at > REPORT_SECONDS:
            self.send(wire.Progress(1))

    def reporting(self) -> AbstractContextManager[None]:
        """Sends readings and progress every REPORT_SECONDS until the end of the block, unless there are none.

        A reading that waits for its group must not be lost if the next item never answers.
        """
        return repeating(self._report, REPORT_SECONDS)

    def add(self, reading: Reading) -> None:
        """Sends a reading with its group: receiving a frame for each would cost the daemon more than the reading."""
        with self._lock:
            if (size := reading.size) > MAX_PART_BYTES:
                self._send_group()
                self._send_parts(reading)
                size = reading.size
            self._group.append(reading)
            self._group_bytes += size
            if len(self._group) >= MAX_GROUP_READINGS or self._group_bytes >= MAX_GROUP_BYTES:
                self._send_group()

    def finish(self, hanging: Sequence[int] = ()) -> None:
        """Sends what is left, that items without a reading are not going to get one, and whose reads still hang."""
        with self._lock:
            self._send_progress()
            self._send_group(is_last=True, hanging=hanging)

    def _report(self) -> None:
        with self._lock:
            self._send_progress()
            self._send_group()

    def _send_progress(self) -> None:
        steps = [self._steps.popleft() for _ in range(len(self._steps))]
        if steps:
            wire.send(self._fd, wire.Progress(len(steps), sum(steps)))

    def _send_group(self, *, is_last: bool = False, hanging: Sequence[int] = ()) -> None:
        if self._group or is_last:
            wire.send(self._fd, wire.Readings(self._group, is_last, list(hanging)))
        self._group, self._group_bytes = [], 0

    def _send_parts(self, reading: Reading) -> None:
        """Sends most of a large item ahead: a frame is copied several times, and should not hold many documents."""
        while reading.size > MAX_PART_BYTES and len(reading.documents) > 1:
            part = Reading(reading.ordinal, [reading.documents.pop(0)], is_partial=True)
            wire.send(self._fd, wire.Readings([part]))

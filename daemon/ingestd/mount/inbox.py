"""The receiving end of a pipe between daemon and helper: reads what is there at once, gives it out frame by frame."""

import os
import select
from collections.abc import Callable

from ingestd.mount.wire import LENGTH, MAX_FRAME, Deadline, ProtocolError, never

READ_BYTES, MAX_READ_BYTES = 2**16, 2**20


class Inbox:
    """The frames that come out of a pipe, which nothing else reads."""

    def __init__(self, fd: int) -> None:
        self._fd, self._unread = fd, bytearray()

    def receive(self, deadline: Deadline | None = None, is_cancelled: Callable[[], bool] = never) -> bytes | None:
        """The body of the next frame; None at the end of the stream.

        Raises TimeoutError after the deadline, or within POLL_SECONDS once `is_cancelled()` is true, and ProtocolError
        for what cannot be a frame.
        """
        head = self._take(LENGTH.size, deadline, is_cancelled)
        if head is None:
            return None
        (length,) = LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise ProtocolError(f"a frame of {length} bytes")
        return self._take(length, deadline, is_cancelled)

    def _take(self, count: int, deadline: Deadline | None, is_cancelled: Callable[[], bool]) -> bytes | None:
        while (lacking := count - len(self._unread)) > 0:
            if deadline is not None:
                deadline.wait_for(select.POLLIN, self._fd, is_cancelled)
            part = os.read(self._fd, min(max(lacking, READ_BYTES), MAX_READ_BYTES))
            if not part:
                return None
            self._unread += part
        taken = bytes(memoryview(self._unread)[:count])
        del self._unread[:count]
        return taken

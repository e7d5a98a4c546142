"""Reads the events of one folder from the kernel, in one thread that hands over names as soon as they are read.

watchdog passes each event through three threads, and says too late that the kernel has dropped some.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator

# From linux/inotify.h.
IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100
IN_DELETE_SELF, IN_Q_OVERFLOW, IN_IGNORED = 0x400, 0x4000, 0x8000
IN_ONLYDIR, IN_DONT_FOLLOW, IN_ISDIR = 0x1000000, 0x2000000, 0x40000000
HAS_NEWS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
HAS_ENDED = IN_DELETE_SELF | IN_IGNORED
BUFFER = 1 << 16
"""bytes of events that are read at once, and handed over together"""
_EVENT = struct.Struct("=iIII")


class FolderEvents(threading.Thread):
    """Calls `on_names(names)` for files that came into a folder or were written in it, until `stop`.

    `on_dropped()` is called when the kernel has dropped events. The thread ends when the folder is deleted.
    Raises OSError if the folder cannot be watched.
    """

    def __init__(self, folder: str, on_names: Callable[[list[str]], object], on_dropped: Callable[[], object]) -> None:
        super().__init__(name="inotify", daemon=True)
        self._on_names, self._on_dropped = on_names, on_dropped
        self._events = watched(folder)
        self._stopped = os.eventfd(0)

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._events, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        while (self._stopped, select.POLLIN) not in poll.poll():
            if not self._hand_over(list(parsed(os.read(self._events, BUFFER)))):
                return

    def _hand_over(self, events: list[tuple[int, bytes]]) -> bool:
        """False once the folder is not watched any more."""
        if any(mask & IN_Q_OVERFLOW for mask, _ in events):
            self._on_dropped()
        names = [os.fsdecode(name) for mask, name in events if mask & HAS_NEWS and not mask & IN_ISDIR]
        if names:
            self._on_names(names)
        return not any(mask & HAS_ENDED for mask, _ in events)

    def stop(self) -> None:
        """Ends it and closes what it holds, also if it could not be started. To be called once."""
        os.eventfd_write(self._stopped, 1)
        if self.ident is not None:
            self.join()
        os.close(self._events)
        os.close(self._stopped)


def watched(folder: str) -> int:
    """A descriptor for the events of a folder; not of one that a link leads to. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    events = library.inotify_init1(os.O_CLOEXEC)
    if events >= 0:
        flags = HAS_NEWS | IN_DELETE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW
        if library.inotify_add_watch(events, os.fsencode(folder), flags) >= 0:
            return int(events)
    error = OSError(number := ctypes.get_errno(), f"inotify: {os.strerror(number)}", folder)
    if events >= 0:
        os.close(events)
    raise error


def parsed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The mask and the name of each event."""
    start = 0
    while start < len(data):
        _, mask, _, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size + length
        yield mask, data[start - length : start].rstrip(b"\0")

"""An emitter for watchdog's observer that hands over the names of one folder as soon as the kernel reports them.

watchdog's own one passes each event through three threads, and says too late that the kernel has dropped some.
"""

import ctypes
import os
import select
import struct
from collections.abc import Callable, Iterator
from typing import Any

from watchdog.observers.api import EventEmitter, EventQueue, ObservedWatch

# From linux/inotify.h.
IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100
IN_DELETE_SELF, IN_Q_OVERFLOW, IN_IGNORED = 0x400, 0x4000, 0x8000
IN_ONLYDIR, IN_DONT_FOLLOW, IN_ISDIR = 0x1000000, 0x2000000, 0x40000000
HAS_NEWS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
HAS_ENDED = IN_DELETE_SELF | IN_IGNORED
BUFFER = 1 << 16
"""bytes of events that are read at once, and handed over together"""
OnFiles = Callable[[list[str]], object]
OnDropped = Callable[[], object]
_EVENT = struct.Struct("=iIII")


class FolderEmitter(EventEmitter):
    """Calls `on_names(names)` for files that came into the watched folder or were written in it.

    `on_dropped()` is called when the kernel has dropped events. The thread ends when the folder is deleted.
    `start` raises OSError if the folder cannot be watched.
    """

    def __init__(
        self, event_queue: EventQueue, watch: ObservedWatch, *, on_names: OnFiles, on_dropped: OnDropped, **options: Any
    ) -> None:
        super().__init__(event_queue, watch, **options)
        self._on_names, self._on_dropped = on_names, on_dropped
        self._fds: list[int] = []
        """of the events, and of the end"""
        self._poll = select.poll()

    def on_thread_start(self) -> None:
        self._fds.append(watched(self.watch.path))
        self._fds.append(os.eventfd(0))
        for fd in self._fds:
            self._poll.register(fd, select.POLLIN)

    def on_thread_stop(self) -> None:
        """Ends the thread and closes what it held, also if it could not be started."""
        if self.ident is not None:
            os.eventfd_write(self._fds[-1], 1)
            self.join()
        while self._fds:
            os.close(self._fds.pop())

    def queue_events(self, timeout: float) -> None:  # noqa: ARG002  an event comes, or the end
        """Waits for events and hands them over, past the queue of the observer: that would wake another thread."""
        self._poll.poll()
        if self.should_keep_running():
            self._hand_over(list(parsed(os.read(self._fds[0], BUFFER))))

    def _hand_over(self, events: list[tuple[int, bytes]]) -> None:
        if any(mask & IN_Q_OVERFLOW for mask, _ in events):
            self._on_dropped()
        names = [os.fsdecode(name) for mask, name in events if mask & HAS_NEWS and not mask & IN_ISDIR]
        if names:
            self._on_names(names)
        if any(mask & HAS_ENDED for mask, _ in events):
            self.stopped_event.set()


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

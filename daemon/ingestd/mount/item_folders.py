"""The folders of the items of one request, in a mount helper: the folder that many are in is opened once.

Otherwise each thread would look its name up again whenever the kernel has forgotten it.
"""

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager

from ingestd.format.fields import CLEAN_PATH
from ingestd.mount.paths import WALK_FOLDER, open_below

MAX_KEPT = 16
"""folders that stay open until the request ends"""


class _Kept:
    """A folder that stays open. Threads that need it wait for the one that opens it, as they would for the mount."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fd: int | None = None
        self.close: Callable[[], object] = lambda: None

    def keep(self, fd: int) -> None:
        """Closes the descriptor when nothing refers to it any more, such as a thread that hangs, or by `close`."""
        self.fd, self.close = fd, weakref.finalize(self, os.close, fd)


class ItemFolders:
    """Opens the folders of items below `root_fd`. Thread-safe; `close` when no thread needs them any more."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def open(self, path: str) -> AbstractContextManager[int]:
        """A descriptor of the folder of an item. Raises what `open_below` raises."""
        parent, _, name = path.rpartition("/")
        kept = self._kept_for(parent) if parent and CLEAN_PATH.fullmatch(path) else None
        below, rest = (self._root_fd, path) if kept is None else (self._fd_of(kept, parent), name)
        return open_below(below, rest, WALK_FOLDER)

    def close(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, {}
        for one in kept.values():
            one.close()

    def _kept_for(self, parent: str) -> _Kept | None:
        """None where so many are kept already."""
        with self._lock:
            if parent not in self._kept and len(self._kept) >= MAX_KEPT:
                return None
            return self._kept.setdefault(parent, _Kept())

    def _fd_of(self, kept: _Kept, parent: str) -> int:
        with kept.lock:
            if kept.fd is None:
                with open_below(self._root_fd, parent, WALK_FOLDER) as fd:
                    kept.keep(os.dup(fd))
            assert kept.fd is not None, "it was opened"
            return kept.fd

"""Opening files below the mount root, in a mount helper: no symbolic link is followed and no path leaves the root.

Each path component is opened relative to its folder (O_NOFOLLOW). What is swapped in between a check and a read can
therefore not lead elsewhere.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ingestd.format.fields import CLEAN_PATH, BadEntry
from ingestd.model import Reason

WALK_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For folders that are not listed: a remote file system is asked for the name only, not to open and close them."""
LIST_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
BLOCK = 1 << 17
"""Bytes read at once: little enough for a slow mount to deliver long before a deadline."""


def printable(name: str) -> str:
    """A file name as valid text: bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_blocks(fd: int, limit: int | None = None, size: int = 0) -> Iterator[bytes]:
    """The content of an open file, at most `limit` bytes of it.

    `size`: what the file is known to have. Its end is not asked for when that was read; 0 says nothing.
    """
    done = 0
    while limit is None or done < limit:
        block = os.read(fd, BLOCK if limit is None else min(BLOCK, limit - done))
        if not block:
            return
        done += len(block)
        yield block
        if done == size:
            return


@contextmanager
def open_in_root(root: str, path: str, flags: int) -> Iterator[int]:
    """A descriptor of root/path. Only the root itself, which the operator configures, may be a link."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open_below(root_fd, path, flags) as fd:
            yield fd
    finally:
        os.close(root_fd)


def open_below(folder: int, path: str, flags: int) -> AbstractContextManager[int]:
    """A descriptor of `path` below an open folder. Raises BadEntry if it would leave the folder or meets a link."""
    return _Below(folder, _parts(path), flags)


class _Below:
    """Opens the last of some parts, and closes it. No generator, which takes twice as long: an item has nine."""

    __slots__ = ("_fd", "_flags", "_folder", "_parts")

    def __init__(self, folder: int, parts: list[str], flags: int) -> None:
        self._folder, self._parts, self._flags = folder, parts, flags

    def __enter__(self) -> int:
        *parents, last = self._parts
        fd = self._folder
        try:
            for part in parents:
                fd = _open_next(fd, part, WALK_FOLDER, self._folder)
            self._fd = _open_next(fd, last, self._flags, self._folder)
        except BaseException:
            if fd != self._folder:
                os.close(fd)
            raise
        return self._fd

    def __exit__(self, *_raised: object) -> None:
        os.close(self._fd)


def stat_below(folder: int, path: str) -> os.stat_result:
    """What is at `path` below an open folder, without opening it. Raises BadEntry as `open_below` does."""
    *parents, last = _parts(path)
    with open_below(folder, "/".join(parents), WALK_FOLDER) if parents else nullcontext(folder) as fd:
        found = os.stat(last, dir_fd=fd, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{printable(last)} is a symbolic link")
    return found


def _parts(path: str) -> list[str]:
    if not CLEAN_PATH.fullmatch(path):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{path!r} is not a plain relative path")
    return path.split("/")


def open_name(folder: int, name: str, flags: int) -> int:
    """A descriptor, which the caller closes, of what has this name in an open folder. Raises BadEntry for a link.

    The name is one of a listing, or fixed: there are characters in listings that a manifest must not use.
    """
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            _refuse_link(folder, name)
            raise FileNotFoundError(errno.ENOENT, f"{printable(name)} is not a folder") from None
        raise


def _open_next(fd: int, part: str, flags: int, start: int) -> int:
    """Opens one component of a path, and closes the folder it is in unless that is where the path starts."""
    next_fd = open_name(fd, part, flags)
    if fd != start:
        os.close(fd)
    return next_fd


def _refuse_link(fd: int, part: str) -> None:
    if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{printable(part)} is a symbolic link")

"""Reading the root and its sync folder, in a mount helper: sentinels and manifests."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import PurePath

from ingestd.format.fields import SYNC_ID, BadEntry
from ingestd.model import Reason
from ingestd.mount.paths import OPEN_FILE, OPEN_FOLDER, open_below, open_in_root, printable
from ingestd.mount.records import Listing
from ingestd.mount.wire import Failure

ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
NAMES_AT_ONCE = 4096
"""names of a listing between two signs of life"""

Alive = Callable[[], None]


def quiet() -> None:
    """Sign of life for callers that need none."""


class NoSentinel(Exception):
    """A bundle is not handed over; the message names its sentinel."""


@contextmanager
def open_root(root: str, alive: Alive = quiet) -> Iterator[int]:
    """A descriptor of the root, for questions about it only. Each folder on the way to it is a step of its own."""
    path = PurePath(os.path.abspath(root))
    fd = os.open(path.anchor, ROOT_FLAGS)
    try:
        for part in path.parts[1:]:
            next_fd = os.open(part, ROOT_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = next_fd
            alive()
        yield fd
    finally:
        os.close(fd)


def inode(root: int) -> int:
    """The inode of the folder with the sentinels; 0 if it cannot be found."""
    try:
        return os.stat("sync", dir_fd=root, follow_symlinks=False).st_ino
    except OSError:
        return 0


def list_sentinels(root: str, alive: Alive = quiet) -> Listing | Failure:
    """One listing of names, without a stat of any file."""
    sync_ids: list[str] = []
    invalid_names: list[str] = []
    try:
        with open_in_root(root, "sync", OPEN_FOLDER) as folder:
            names = _names(folder, alive)
    except BadEntry as bad:
        return Failure(f"{root}: {bad.problem}")
    except OSError as error:
        return Failure(f"{root}/sync: {error.strerror}")
    for stem in (name.removesuffix(".ready") for name in names if name.endswith(".ready")):
        (sync_ids if SYNC_ID.fullmatch(stem) else invalid_names).append(stem)
    return Listing(sync_ids, list(map(printable, invalid_names)))


def _names(folder: int, alive: Alive) -> list[str]:
    names: list[str] = []
    with os.scandir(folder) as entries:
        while part := [entry.name for entry in islice(entries, NAMES_AT_ONCE)]:
            names += part
            alive()
    return names


@contextmanager
def open_manifest(root: str, sync_id: str, alive: Alive = quiet) -> Iterator[int]:
    """A descriptor of the manifest of a bundle. Raises BadEntry, OSError, and NoSentinel.

    Without its sentinel the bundle is not handed over, and the manifest is not opened.
    """
    name = f"{sync_id}.json"
    with open_in_root(root, "sync", OPEN_FOLDER) as folder:
        alive()
        _require_sentinel(folder, f"{sync_id}.ready")
        alive()
        with open_below(folder, name, OPEN_FILE) as fd:
            alive()
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BadEntry(Reason.FILE_UNREADABLE, f"{name} is not a regular file")
            yield fd


def _require_sentinel(folder: int, name: str) -> None:
    """Raises NoSentinel, or BadEntry for a folder, a link or a pipe of this name: nothing is handed over by these."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        raise NoSentinel(f"sync/{name}, the sentinel, does not exist") from None
    if not stat.S_ISREG(mode):
        raise BadEntry(Reason.FILE_UNREADABLE, f"sync/{name}, the sentinel, is not a regular file")

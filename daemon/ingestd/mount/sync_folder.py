"""Reading the root and its sync folder, in a mount helper: sentinels and manifests."""

import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from ingestd.format.fields import SYNC_ID, BadEntry
from ingestd.model import Reason
from ingestd.mount.paths import LIST_FOLDER, OPEN_FILE, WALK_FOLDER, open_below, open_in_root, printable
from ingestd.mount.repeating import repeating
from ingestd.mount.wire import Failure, ListingPart
from ingestd.shortage import require_descriptors

ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
NAMES_AT_ONCE, PART_SECONDS = 4096, 0.5
"""most names in a part of a listing, and seconds after which one is sent that has fewer"""
SIMILAR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[ ._-]*ready", re.IGNORECASE)
"""how names begin that were probably meant as sentinels"""

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


def inode(root: int) -> tuple[int, int]:
    """The inode and device of the folder with the sentinels; zeros if it cannot be found."""
    try:
        found = os.stat("sync", dir_fd=root, follow_symlinks=False)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_dev


def list_sentinels(root: str, send: Callable[[ListingPart | Failure], None], awaited: Iterable[str] = ()) -> None:
    """One listing of names, without a stat of any file. Sends its parts, the last one marked, or a failure.

    `awaited`: the sync_ids whose manifests are reported if they are there.
    """
    try:
        with open_in_root(root, "sync", LIST_FOLDER) as folder, os.scandir(folder) as entries:
            parts = _Parts(send, awaited)
            with parts.flushing():
                for entry in entries:
                    parts.add(entry.name)
        send(ListingPart([], [], 0, is_last=True))
    except BadEntry as bad:
        send(Failure(f"{root}: {bad.problem}"))
    except OSError as error:
        require_descriptors(error)
        send(Failure(f"{root}/sync: {error.strerror}"))


class _Parts:
    """Sends names in parts: NAMES_AT_ONCE, or fewer every PART_SECONDS, also while the next name does not come."""

    def __init__(self, send: Callable[[ListingPart], None], awaited: Iterable[str]) -> None:
        self._send = send
        self._awaited = {f"{sync_id}.json" for sync_id in awaited}
        self._lock = threading.Lock()
        self._names: list[str] = []

    def add(self, name: str) -> None:
        with self._lock:
            self._names.append(name)
            if len(self._names) >= NAMES_AT_ONCE:
                self._flush()

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Sends what there is every PART_SECONDS, and at the end of the block."""
        try:
            with repeating(self._flush_now, PART_SECONDS):
                yield
        finally:
            self._flush()

    def _flush_now(self) -> None:
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        names, self._names = self._names, []
        if names:
            self._send(_part(names, self._awaited))


def _part(names: list[str], awaited: set[str]) -> ListingPart:
    alike = [name for name in names if name.endswith(".ready") or SIMILAR.match(name)]
    sync_ids = [name.removesuffix(".ready") for name in alike if is_sentinel(name)]
    invalid = [printable(name) for name in alike if not is_sentinel(name)]
    manifests = [name.removesuffix(".json") for name in awaited.intersection(names)] if awaited else []
    return ListingPart(sync_ids, invalid, len(names), manifests=manifests)


def is_sentinel(name: str) -> bool:
    return name.endswith(".ready") and SYNC_ID.fullmatch(name.removesuffix(".ready")) is not None


@contextmanager
def open_manifest(root: str, sync_id: str, alive: Alive = quiet) -> Iterator[int]:
    """A descriptor of the manifest of a bundle. Raises BadEntry, OSError, and NoSentinel.

    Without its sentinel the bundle is not handed over, and the manifest is not opened.
    """
    name = f"{sync_id}.json"
    with open_in_root(root, "sync", WALK_FOLDER) as folder:
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

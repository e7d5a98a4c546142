"""Reading the root and its sync folder, in a mount helper: sentinels and manifests."""

import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import PurePath

from ingestd.format.fields import SYNC_ID, BadEntry
from ingestd.model import Reason
from ingestd.mount.name_blocks import JSON, PLAIN_LENGTH, READY, are_files, blocks, names, plain_ids
from ingestd.mount.paths import LIST_FOLDER, OPEN_FILE, WALK_FOLDER, open_below, open_in_root, printable
from ingestd.mount.records import split_ids
from ingestd.mount.repeating import repeating
from ingestd.mount.wire import Failure, ListingPart
from ingestd.shortage import require_descriptors

ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
NAMES_AT_ONCE, PART_SECONDS = 4096, 0.2
"""names after which a part of a listing is sent, and seconds after which one is sent that has fewer"""
SECOND_NS, TICK_NS = 10**9, 10**8
"""the smallest steps of times: on file systems that store whole seconds, and, with much to spare, on all others"""
CLOCK_OF_FILES = 5
"""CLOCK_REALTIME_COARSE of Linux, which file systems take their times from; the time module has no name for it"""
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


def list_sentinels(
    root: str,
    send: Callable[[ListingPart | Failure], None],
    awaited: Iterable[str] = (),
    known_stamp: str | None = None,
) -> None:
    """One listing of names, without a stat of any file. Sends its parts, the last one marked, or a failure.

    `awaited`: the sync_ids whose manifests are reported if they are there. `known_stamp`: that of the folder when it
    was listed before; if it is still the same, nothing is listed.
    """
    try:
        with open_in_root(root, "sync", LIST_FOLDER) as folder:
            stamp = "" if known_stamp is None else _stamp(folder)
            if stamp and stamp == known_stamp:
                send(ListingPart(is_last=True, is_unchanged=True, stamp=stamp))
                return
            parts = _Parts(send, awaited)
            with parts.flushing():
                for block in blocks(folder):
                    parts.add(block)
        send(ListingPart(is_last=True, stamp=stamp))
    except BadEntry as bad:
        send(Failure(f"{root}: {bad.problem}"))
    except OSError as error:
        require_descriptors(error)
        send(Failure(f"{root}/sync: {error.strerror}"))


def _stamp(folder: int) -> str:
    """What changes with each name that comes to a folder or leaves it; empty if it changed just now."""
    found = os.fstat(folder)
    if not is_over(found.st_ctime_ns, time.clock_gettime_ns(CLOCK_OF_FILES)):
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def is_over(changed_ns: int, now_ns: int) -> bool:
    """Whether a change from now on would show another time than the latest one, by the clock of files."""
    step = SECOND_NS if changed_ns % SECOND_NS == 0 else TICK_NS
    return changed_ns < now_ns - 2 * step


class _Parts:
    """Sends names in parts: NAMES_AT_ONCE, or fewer every PART_SECONDS, also while the next name does not come."""

    def __init__(self, send: Callable[[ListingPart], None], awaited: Iterable[str]) -> None:
        self._send = send
        self._awaited = set(awaited)
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._ids: list[bytes] = []
        self._invalid: list[str] = []
        self._manifests: list[str] = []
        self._count = 0
        self._are_files = True

    def add(self, block: bytes) -> None:
        with self._lock:
            self._add(block)
            if self._count >= NAMES_AT_ONCE:
                self._flush()

    def _add(self, block: bytes) -> None:
        ready = plain_ids(block, READY)
        self._are_files &= ready is not None and are_files(block)
        if ready is None:
            self._add_names([os.fsdecode(name) for name in names(block)])
            return
        self._ids.append(ready)
        self._count += len(block) // PLAIN_LENGTH
        if self._awaited:
            self._manifests += self._awaited.intersection(split_ids(plain_ids(block, JSON) or b""))

    def _add_names(self, found: list[str]) -> None:
        self._count += len(found)
        alike = [name for name in found if name.endswith(".ready") or SIMILAR.match(name)]
        self._ids += [name.removesuffix(".ready").encode() for name in alike if is_sentinel(name)]
        self._invalid += [printable(name) for name in alike if not is_sentinel(name)]
        if self._awaited:
            manifests = (name.removesuffix(".json") for name in found if name.endswith(".json"))
            self._manifests += self._awaited.intersection(manifests)

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
        if self._count:
            ids, more = b"".join(self._ids), self._manifests
            part = ListingPart(ids, self._invalid, self._count, manifests=more, are_files=self._are_files)
            self._send(part)
            self._begin()


def is_sentinel(name: str) -> bool:
    return name.endswith(".ready") and SYNC_ID.fullmatch(name.removesuffix(".ready")) is not None


def open_sync(root: str) -> AbstractContextManager[int]:
    """A descriptor of the folder with the manifests. Raises BadEntry, OSError."""
    return open_in_root(root, "sync", WALK_FOLDER)


@contextmanager
def open_manifest(
    root: str, sync_id: str, alive: Alive = quiet, folder: int | None = None, *, is_listed: bool = False
) -> Iterator[int]:
    """A descriptor of the manifest of a bundle. Raises BadEntry, OSError, and NoSentinel.

    Without its sentinel the bundle is not handed over, and the manifest is not opened; `is_listed`: it was just seen.
    `folder`: that of the manifests, if it is open already.
    """
    name = f"{sync_id}.json"
    with open_sync(root) if folder is None else nullcontext(folder) as parent:
        alive()
        if not is_listed:
            _require_sentinel(parent, f"{sync_id}.ready")
            alive()
        with open_below(parent, name, OPEN_FILE) as fd:
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

"""A pool of mount helpers: each caller borrows one for one exchange, and one that fails is replaced."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import structlog

from ingestd.errors import (
    BundleHangs,
    HelperFailed,
    MountSilent,
    MountUnavailable,
    OtherRelease,
    ReadsHang,
    Shortage,
    StillSilent,
)
from ingestd.mount.helper_process import HelperProcess, close_all
from ingestd.mount.wire import ProtocolError
from ingestd.shortage import shortage_of
from ingestd.wording import counted

log = structlog.get_logger()


class Use(Enum):
    """What a helper is borrowed for."""

    CHECK = "checks"
    LISTING = "listings"
    MANIFEST = "manifests"
    ITEMS = "items"


MAX_ABANDONED = {Use.CHECK: 8, Use.LISTING: 4, Use.MANIFEST: 32, Use.ITEMS: 64}
MAX_OF_BUNDLE = 16
"""helpers that may hang with the items of one bundle, each with one item, or with those of its threads"""
RETURN_SECONDS, MAX_RETURN_SECONDS = 0.02, 0.16
"""for each that others use, and at most: how long one of them is waited for, before another one is started"""
IDLE_SECONDS = 20.0
"""after which a helper ends that nothing needed, unless it is the last one"""
MAX_IN_ALL_MOUNTS = 128
"""helpers that hang in the present mount and in former ones, which were mounted over or unmounted lazily"""


class Abandoned(NamedTuple):
    """A helper that was killed and hangs in the kernel, what it was reading (`names`), in which mount, and for whom."""

    helper: HelperProcess
    use: Use
    names: set[str]
    mount: object
    bundle: str


class HelperPool:
    """Starts helpers on demand and keeps idle ones. Thread-safe.

    A killed helper that hangs in the kernel is abandoned. With so many for one use that no more are allowed, so that a
    dead mount does not fill the process table, the others can go on. What hangs is not read again meanwhile.
    `mounted()` identifies what is mounted: what hangs in a mount that was replaced says nothing about the present one.
    """

    def __init__(self, root: Path, mounted: Callable[[], object] = lambda: None) -> None:
        self._root, self._mounted = root, mounted
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._busy = 0
        self._idle: list[HelperProcess] = []
        self._abandoned: list[Abandoned] = []
        self._closed = False
        self._refusal = ""

    @contextmanager
    def borrow(self, use: Use, name: str = "", bundle: str = "") -> Iterator[HelperProcess]:
        """A helper for one exchange, about `name`, for a bundle; it returns to the pool only if the exchange succeeded.

        Raises MountUnavailable: MountSilent when the helper does not answer in time, StillSilent at once when an
        earlier one for the same name hangs, ReadsHang when too many do for that bundle or for all, HelperFailed when it
        ended or broke the protocol, and OtherRelease for good once one was: idle ones would answer checks, and what
        needs a new one would seem to be at fault.
        """
        with self._lock:
            if self._refusal:
                raise OtherRelease(self._refusal)
            self._forget_exited()
            if self._abandoned:
                self._require_few(use, name, bundle)
            helper = self._take_soon()
        helper = helper or self._start()
        with self._lock:
            self._busy += 1
        helper.hangs_at = {name} if name else set()
        try:
            yield helper
        except BaseException as error:
            self._discard(helper, use, bundle)
            if isinstance(error, OtherRelease):
                self._refusal = str(error)
            problem = f"the mount at {self._root} does not answer: {error}"
            if isinstance(error, TimeoutError):
                # Others may have been frozen with it. Each would cost its caller a whole deadline.
                close_all(self._take_all_idle())
                raise MountSilent(problem) from error
            if isinstance(error, BrokenPipeError | EOFError | ProtocolError):
                raise HelperFailed(problem) from error
            raise
        if use is Use.ITEMS and helper.hangs_at:
            self._discard(helper, use, bundle)
        else:
            self._put_back(helper)

    def _take_soon(self) -> HelperProcess | None:
        """An idle helper, or one that is put back soon: to start one takes longer than most exchanges.

        The more are in use, the sooner one is back, and the less another one would add where processors are short.
        """
        helper, seconds = self._take_idle(), min(self._busy * RETURN_SECONDS, MAX_RETURN_SECONDS)
        if helper is None and self._busy and self._returned.wait_for(lambda: bool(self._idle), seconds):
            helper = self._take_idle()
        return helper

    def _take_idle(self) -> HelperProcess | None:
        """One that still runs: the kernel may have ended some when memory ran out, which says nothing of the mount."""
        while self._idle:
            helper = self._idle.pop()
            if not helper.has_exited():
                return helper
            helper.close_pipes()
        return None

    def _take_all_idle(self) -> list[HelperProcess]:
        with self._lock:
            helpers, self._idle = self._idle, []
        return helpers

    def hung(self, use: Use) -> int:
        """Number of helpers that were killed and still hang in the kernel."""
        with self._lock:
            self._forget_exited()
            return sum(found.use is use for found in self._abandoned)

    def hanging(self, use: Use) -> set[str]:
        """What those helpers were reading that hang in the present mount."""
        if not self._abandoned:
            return set()
        with self._lock:
            self._forget_exited()
            return set().union(*(found.names for found in self._in_present_mount() if found.use is use))

    def problem(self, use: Use) -> str | None:
        """Why no helper is to be had for one use; None if one is."""
        if not self._abandoned:
            return None
        with self._lock:
            self._forget_exited()
            try:
                self._require_few(use)
            except ReadsHang as error:
                return str(error)
        return None

    def _in_present_mount(self) -> list[Abandoned]:
        mount = self._mounted()
        return [found for found in self._abandoned if found.mount == mount]

    def close(self) -> None:
        """Ends all helpers, also while callers wait for a reply: they get MountUnavailable. Idempotent."""
        with self._lock:
            self._closed = True
            self._forget_exited()
        close_all(self._take_all_idle())

    def _start(self) -> HelperProcess:
        with self._lock:
            if self._closed:
                raise MountUnavailable("the mount is not used any more, because the daemon is stopping")
        try:
            return HelperProcess(lambda: self._closed)
        except OSError as error:
            kind = MountUnavailable if shortage_of(error) is None else Shortage
            raise kind(f"no helper process can be started: {error.strerror}") from error

    def _require_few(self, use: Use, name: str = "", bundle: str = "") -> None:
        """Raises MountUnavailable when another read would hang, or too many do already."""
        present = self._in_present_mount()
        if len(self._abandoned) >= MAX_IN_ALL_MOUNTS:
            problem = f"{counted(len(self._abandoned), 'read')} hang in former mounts at {self._root}"
            raise ReadsHang(f"{problem}; end the processes that served them, so that the kernel lets go")
        if name and any(name in found.names for found in present):
            raise StillSilent(f"an earlier read of it still hangs in the mount at {self._root}")
        if (count := sum(found.use is use for found in present)) >= MAX_ABANDONED[use]:
            problem = f"{count} reads hang in the mount at {self._root}, so no more {use.value} are read"
            raise ReadsHang(f"{problem}; mount it again")
        if bundle and (own := [found for found in present if found.bundle == bundle])[MAX_OF_BUNDLE - 1 :]:
            count = sum(len(found.names) for found in own)
            problem = f"reads of {counted(count, 'item')} of this bundle hang in the mount at {self._root}"
            raise BundleHangs(f"{problem}, so no more of its items are read; mount it again")

    def _put_back(self, helper: HelperProcess) -> None:
        helper.idle_since = time.monotonic()
        with self._lock:
            self._busy -= 1
            self._idle.append(helper)
            self._returned.notify()
            ending = self._take_unused()
        close_all(ending)

    def _take_unused(self) -> list[HelperProcess]:
        """Those that are not needed any more: the last one used is enough for a quiet time, and answers at once."""
        if self._closed:
            ending, self._idle = self._idle, []
            return ending
        used_after = time.monotonic() - IDLE_SECONDS
        # In the order in which they were put back, since the last one is taken first.
        count = sum(helper.idle_since < used_after for helper in self._idle[:-1])
        ending, self._idle = self._idle[:count], self._idle[count:]
        return ending

    def _discard(self, helper: HelperProcess, use: Use, bundle: str) -> None:
        is_ended = helper.kill()
        with self._lock:
            self._busy -= 1
            if is_ended:
                return
            self._abandoned.append(Abandoned(helper, use, helper.hangs_at, self._mounted(), bundle))
            names = sorted(helper.hangs_at)
            log.warning("reads_hang", use=use.value, names=names[:3], count=len(names), helpers=len(self._abandoned))

    def _forget_exited(self) -> None:
        self._abandoned = [found for found in self._abandoned if not found.helper.has_exited()]

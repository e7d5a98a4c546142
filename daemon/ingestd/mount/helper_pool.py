"""A pool of mount helpers: each caller borrows one for one exchange, and one that fails is replaced."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestd.errors import HelperFailed, MountSilent, MountUnavailable
from ingestd.mount.helper_process import HelperProcess, close_all
from ingestd.mount.wire import ProtocolError

MAX_ABANDONED = 16


class HelperPool:
    """Starts helpers on demand and keeps idle ones. Thread-safe.

    A killed helper that hangs in the kernel is abandoned. With MAX_ABANDONED of them no more are started, so that a
    dead mount does not fill the process table.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._idle: list[HelperProcess] = []
        self._abandoned: list[HelperProcess] = []
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[HelperProcess]:
        """A helper for one exchange; it returns to the pool only if the exchange succeeded.

        Raises MountUnavailable: MountSilent when the helper does not answer in time, HelperFailed when it ended or
        broke the protocol.
        """
        with self._lock:
            helper = self._idle.pop() if self._idle else None
        helper = helper or self._start()
        try:
            yield helper
        except BaseException as error:
            self._discard(helper)
            problem = f"the mount at {self._root} does not answer: {error}"
            if isinstance(error, TimeoutError):
                raise MountSilent(problem) from error
            if isinstance(error, BrokenPipeError | EOFError | ProtocolError):
                raise HelperFailed(problem) from error
            raise
        self._put_back(helper)

    @property
    def hung(self) -> int:
        """Number of helpers that were killed and still hang in the kernel."""
        with self._lock:
            self._forget_exited()
            return len(self._abandoned)

    def close(self) -> None:
        """Ends all helpers, also while callers wait for a reply: they get MountUnavailable. Idempotent."""
        with self._lock:
            self._closed = True
            helpers, self._idle = self._idle, []
            self._forget_exited()
        close_all(helpers)

    def _start(self) -> HelperProcess:
        with self._lock:
            if self._closed:
                raise MountUnavailable("the mount is not used any more, because the daemon is stopping")
            self._forget_exited()
            if len(self._abandoned) >= MAX_ABANDONED:
                problem = f"{MAX_ABANDONED} reads hang in the mount at {self._root}, so no more are started"
                raise MountUnavailable(f"{problem}; mount it again")
        try:
            return HelperProcess(lambda: self._closed)
        except OSError as error:
            raise MountUnavailable(f"no helper process can be started: {error.strerror}") from error

    def _put_back(self, helper: HelperProcess) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(helper)
                return
        close_all([helper])

    def _discard(self, helper: HelperProcess) -> None:
        if not helper.kill():
            with self._lock:
                self._abandoned.append(helper)

    def _forget_exited(self) -> None:
        self._abandoned = [helper for helper in self._abandoned if not helper.has_exited()]

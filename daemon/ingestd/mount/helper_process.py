"""The daemon's side of one mount helper: a child process and the two pipes to it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ingestd import __version__
from ingestd.errors import OtherRelease, Shortage
from ingestd.mount import wire
from ingestd.mount.inbox import Inbox

EXIT_SECONDS = 0.5
OTHER_RELEASE = 76
"""status of a helper that is not of the release of the daemon, which was installed while the daemon ran"""
_unreaped: list[subprocess.Popen[bytes]] = []
"""killed processes that did not end in time, on a busy machine or in the kernel; looked at when the next one starts"""

HELPER = (
    "import sys; sys.path += sys.argv[1:]; import ingestd; "
    f"ingestd.__version__ == {__version__!r} or sys.exit({OTHER_RELEASE}); "
    "from ingestd.mount.helper import run; run()"
)
"""Isolated (-I): neither the working directory nor the environment decides what a helper imports."""


def import_folders() -> list[str]:
    """Where this process found the packages that a helper needs, which may have been a folder of PYTHONPATH."""
    specs = [find_spec(name) for name in ("ingestd", "msgspec", "orjson")]
    files = [Path(spec.origin) for spec in specs if spec is not None and spec.origin is not None]
    return list(dict.fromkeys(str(file.absolute().parents[1]) for file in files))


class HelperProcess:
    """A running helper. `is_cancelled()` ends waiting for it before the deadline.

    `hangs_at`: what its reads hang at, if they do; after an exchange, it is not used again then.

    `send` and `receive` raise OtherRelease if it is of another release, which may have other requests and replies, and
    Shortage if it ended before it began, or says that it lacks something.
    """

    def __init__(self, is_cancelled: Callable[[], bool]) -> None:
        reap()
        command = [sys.executable, "-I", "-X", "utf8", "-c", HELPER, *import_folders()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._inbox = Inbox(self._out.fileno())
        os.set_blocking(self._in.fileno(), False)
        self._is_cancelled = is_cancelled
        self._has_begun = False
        self.hangs_at: set[str] = set()
        self.idle_since = 0.0
        """monotonic time at which it was last put back"""

    def send(self, request: wire.Request, seconds: float) -> None:
        """Raises TimeoutError when the helper does not take the request in time, BrokenPipeError when it ended."""
        try:
            wire.send(self._in.fileno(), request, wire.Deadline(seconds), self._is_cancelled)
        except BrokenPipeError:
            self._require_begun()
            raise

    def receive(self, seconds: float, on_bytes: Callable[[int], None] = lambda _count: None) -> wire.Reply:
        """The next reply. Each step that the helper reports extends the time; `on_bytes(count)` gets its bytes.

        Raises TimeoutError when there is nothing in time, EOFError when the helper ended, and ProtocolError.
        """
        deadline = wire.Deadline(seconds)
        while True:
            body = self._inbox.receive(deadline, self._is_cancelled)
            if body is None:
                self._require_begun()
                raise EOFError(f"its helper process {self._how_it_ended()}")
            self._has_begun = True
            reply = wire.decode_reply(body)
            if isinstance(reply, wire.Failure) and reply.is_shortage:
                raise Shortage(f"a helper process cannot read: {reply.problem}")
            if not isinstance(reply, wire.Progress):
                return reply
            if reply.steps > 0:
                deadline = wire.Deadline(seconds)
                on_bytes(reply.bytes_read)
            else:
                # Of a helper that never stops talking there is always something to receive.
                deadline.demand()

    def _require_begun(self) -> None:
        """Raises an error that is not about what was to be read, if it ended before it began."""
        if self.wait() and self._process.returncode == OTHER_RELEASE:
            other = f"another release of ingestd was installed while this daemon ({__version__}) runs"
            raise OtherRelease(f"{other}, so nothing is read from the mount; restart ingestd")
        if not self._has_begun:
            how = self._how_it_ended()
            raise Shortage(f"no helper process can begin: it {how}; the log of the service may have its messages")

    def _how_it_ended(self) -> str:
        if not self.wait():
            return "closed its output"
        status = self._process.returncode
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> bool:
        """Ends the process at once; False if it hangs in the kernel, where no signal reaches it."""
        self.close_pipes()
        self._process.kill()
        if self.wait():
            return True
        _unreaped.append(self._process)
        return False

    def close_pipes(self) -> None:
        """Lets the process end by itself."""
        for pipe in (self._in, self._out):
            pipe.close()

    def wait(self, seconds: float = EXIT_SECONDS) -> bool:
        """Whether the process has ended in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def reap() -> None:
    """Forgets killed processes that have ended meanwhile. Python warns of those that are forgotten while they run."""
    for process in list(_unreaped):
        if process.poll() is not None:
            with suppress(ValueError):  # another thread was faster
                _unreaped.remove(process)


def close_all(helpers: Iterable[HelperProcess]) -> None:
    """Lets processes end by themselves, and kills those that have not after EXIT_SECONDS together."""
    helpers = list(helpers)
    for helper in helpers:
        helper.close_pipes()
    deadline = time.monotonic() + EXIT_SECONDS
    for helper in [helper for helper in helpers if not helper.wait(max(0.0, deadline - time.monotonic()))]:
        # One that hangs in the kernel outlives this; the kernel ends it as soon as its mount answers.
        helper.kill()

"""The daemon's side of one mount helper: a child process and the two pipes to it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from ingestd.mount import wire

EXIT_SECONDS = 0.5


class HelperProcess:
    """A running helper. `is_cancelled()` ends waiting for it before the deadline."""

    def __init__(self, is_cancelled: Callable[[], bool]) -> None:
        command = [sys.executable, "-m", "ingestd.mount.helper"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        self._is_cancelled = is_cancelled

    def send(self, request: wire.Request, seconds: float) -> None:
        """Raises TimeoutError when the helper does not take the request in time, BrokenPipeError when it ended."""
        wire.send(self._in.fileno(), request, time.monotonic() + seconds, self._is_cancelled)

    def receive(self, seconds: float) -> wire.Reply:
        """The next reply. Raises TimeoutError when there is none in time, EOFError when the helper ended."""
        body = wire.receive(self._out.fileno(), time.monotonic() + seconds, self._is_cancelled)
        if body is None:
            raise EOFError("its helper process ended")
        reply: wire.Reply = wire.decode_reply(body)
        return reply

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> bool:
        """Ends the process at once; False if it hangs in the kernel, where no signal reaches it."""
        self.close_pipes()
        self._process.kill()
        return self.wait()

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


def close_all(helpers: Iterable[HelperProcess]) -> None:
    """Lets processes end by themselves, and kills those that have not after EXIT_SECONDS together."""
    helpers = list(helpers)
    for helper in helpers:
        helper.close_pipes()
    deadline = time.monotonic() + EXIT_SECONDS
    for helper in [helper for helper in helpers if not helper.wait(max(0.0, deadline - time.monotonic()))]:
        # One that hangs in the kernel outlives this; the kernel ends it as soon as its mount answers.
        helper.kill()

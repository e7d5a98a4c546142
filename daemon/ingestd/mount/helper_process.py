"""The daemon's side of one mount helper: a child process and the two pipes to it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

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
        self._close_pipes()
        self._process.kill()
        return self._wait()

    def close(self) -> None:
        """Lets the process end by itself, or kills it after EXIT_SECONDS."""
        self._close_pipes()
        if not self._wait():
            self._process.kill()
            self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._in, self._out):
            pipe.close()

    def _wait(self) -> bool:
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

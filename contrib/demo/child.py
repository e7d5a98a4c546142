"""The real daemon as a child process, with a private MariaDB in its own folder."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

START_SECONDS = 120.0
STOP_SECONDS = 60.0
SOCKET = re.compile(r"INGESTD_DATABASE__UNIX_SOCKET=(\S+)")


class DaemonFailed(Exception):
    """The daemon ended unexpectedly or makes no progress; the message names its log."""


class Child:
    """A running `ingestd run --embedded`, logging to `log`. Ctrl-C does not reach it."""

    def __init__(self, settings: dict[str, str], database: Path, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "ingestd", "run", "--embedded", str(database)]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, env=environment(settings), stdin=subprocess.DEVNULL, stderr=file, start_new_session=True
            )

    def socket(self) -> str:
        """The socket of its database, once the daemon has printed it."""
        return self.wait_for(lambda: SOCKET.search(self._log.read_text(encoding="utf-8")), START_SECONDS, "up")[1]

    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """The first true value of `look`. Raises DaemonFailed if the daemon ends or time runs out."""
        deadline = time.monotonic() + seconds
        while (found := look()) is None:
            if self._process.poll() is not None:
                raise DaemonFailed(f"the daemon ended with {self._process.returncode}; its log is {self._log}")
            if time.monotonic() > deadline:
                raise DaemonFailed(f"the daemon is not {what} after {seconds:g} s; its log is {self._log}")
            time.sleep(0.1)
        return found

    def wait(self) -> int:
        """Waits until it ends; returns the exit status."""
        return self._process.wait()

    def stop(self) -> int:
        """Stops it with SIGTERM, like a service manager; returns the exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(STOP_SECONDS)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """The environment of this process, with these settings of ingestd and no others."""
    others = {name: value for name, value in os.environ.items() if not name.upper().startswith("INGESTD_")}
    return {**others, **settings}


@contextmanager
def running(settings: dict[str, str], database: Path, log: Path) -> Iterator[Child]:
    """Starts the daemon; stops it afterwards."""
    child = Child(settings, database, log)
    try:
        yield child
    finally:
        child.stop()

"""The real daemon as a child process, with a private MariaDB in a folder of its own."""

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
    """The daemon ended unasked, or does not do its work; the message says where to look."""


class Child:
    """A running `ingestd run --embedded`; its standard error goes to `log`. Ctrl-C does not reach it."""

    def __init__(self, settings: dict[str, str], database: Path, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "ingestd", "run", "--embedded", str(database)]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, env=environment(settings), stdin=subprocess.DEVNULL, stderr=file, start_new_session=True
            )

    def socket(self) -> str:
        """Where its database listens, as it says itself once that is ready."""
        return self.wait_for(lambda: SOCKET.search(self._log.read_text(encoding="utf-8")), START_SECONDS, "up")[1]

    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """The first value that `look` finds. Raises DaemonFailed when the daemon ends or time runs out before."""
        deadline = time.monotonic() + seconds
        while (found := look()) is None:
            if self._process.poll() is not None:
                raise DaemonFailed(f"the daemon ended with {self._process.returncode}; its log is {self._log}")
            if time.monotonic() > deadline:
                raise DaemonFailed(f"the daemon is not {what} after {seconds:g} s; its log is {self._log}")
            time.sleep(0.1)
        return found

    def wait(self) -> int:
        """Waits for its end; its exit status."""
        return self._process.wait()

    def stop(self) -> int:
        """Asks it to end as a service manager does (SIGTERM); its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(STOP_SECONDS)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's environment with these settings of ingestd, and no other ones."""
    others = {name: value for name, value in os.environ.items() if not name.upper().startswith("INGESTD_")}
    return {**others, **settings}


@contextmanager
def running(settings: dict[str, str], database: Path, log: Path) -> Iterator[Child]:
    """The daemon, stopped afterwards whatever happens."""
    child = Child(settings, database, log)
    try:
        yield child
    finally:
        child.stop()

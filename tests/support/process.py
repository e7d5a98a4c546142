"""The daemon as a separate process, with a configuration file and real signals; always ended after the test."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestd.config import DatabaseSettings
from ingestd.embedded import EmbeddedMariaDB
from support.wait import until
from support.world import World

EMBEDDED_SOCKET = re.compile(r"INGESTD_DATABASE__UNIX_SOCKET=(\S+)")
STARTED = "event=started"

Sections = dict[str, dict[str, Any]]


def toml(sections: Sections) -> str:
    """Writes a configuration file; values must look the same in TOML and JSON."""
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
    return "\n".join(lines)


@dataclass
class Process:
    """One `ingestd` process, or that of another `program`. Its standard error goes to a log file."""

    arguments: list[str]
    log_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "ingestd")
    _popen: subprocess.Popen[bytes] | None = None

    def start(self, output: int | None = None) -> None:
        """Starts it; its standard output and error go to `output`, or to the log file."""
        with self.log_file.open("ab") as log:
            output = log.fileno() if output is None else output
            # Keep the environment: coverage passes its settings to the child through it.
            self._popen = subprocess.Popen(
                [sys.executable, *self.program, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
            )

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def says(self, *texts: str) -> bool:
        """Whether a log line contains all `parts`; fails if the process ended without one."""
        ended = self.has_ended()
        if any(all(text in line for text in texts) for line in self.log.splitlines()):
            return True
        assert not ended, f"the daemon has ended, and never said {texts}: {self.log}"
        return False

    def has_ended(self) -> bool:
        return self._popen is None or self._popen.poll() is not None

    def wait_for(self, *texts: str, seconds: float = 30.0) -> None:
        """Waits for a log line that contains all `parts`."""
        until(lambda: self.says(*texts), seconds=seconds, what=f"for {texts} in {self.log_file}")

    def wait_until_started(self) -> None:
        self.wait_for(STARTED)

    def wait_for_own_code(self) -> None:
        """Waits until the start of the interpreter, which can swallow an interrupt, is over, or the process has ended.

        Python ignores SIGPIPE, and then catches SIGINT; the first line of ours lets SIGINT end the process again.
        """
        until(lambda: self.has_ended() or self._is_in_own_code(), what="for the interpreter to start")

    def _is_in_own_code(self) -> bool:
        status = Path(f"/proc/{self.pid}/status").read_text()
        ignored, caught = (int(re.search(rf"{name}:\t(\w+)", status)[1], 16) for name in ("SigIgn", "SigCgt"))  # type: ignore[index]
        bits = {number: 1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM)}
        begun = bool(ignored & bits[signal.SIGPIPE]) and not caught & bits[signal.SIGINT]
        return begun or bool(caught & bits[signal.SIGTERM])

    def send(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def freeze(self) -> None:
        """Sends SIGSTOP; returns when every thread has stopped."""
        self.send(signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="for the process to stand still")

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """The exit status; fails if the process does not end in time."""
        assert self._popen is not None
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end within {seconds:g} s: {self.log}") from None

    def terminate(self, seconds: float) -> int:
        """Sends SIGTERM; returns the exit status."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """Sends SIGKILL in any state; may be called twice."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()

    # with its own database

    def embedded_settings(self, name: str = "admin_panel") -> DatabaseSettings:
        """Settings for the private database of `run --embedded`, from the output of the daemon."""
        self.wait_for("INGESTD_DATABASE__UNIX_SOCKET=", seconds=60)
        return DatabaseSettings(unix_socket=self._embedded_sockets()[-1], user="root", name=name)

    def _embedded_sockets(self) -> list[str]:
        return EMBEDDED_SOCKET.findall(self.log)

    def reap(self, embedded: Path | None = None) -> None:
        """Ends the process, and the private database that a killed daemon leaves behind."""
        self.kill()
        folders = {Path(socket).parent for socket in self._embedded_sockets()} | ({embedded} if embedded else set())
        for folder in folders:
            kill_database(folder)


def kill_database(folder: Path) -> None:
    """Kills the MariaDB whose pid file is in `folder`, if it is still running."""
    try:
        pid = int((folder / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if os.fsencode(folder) in command:
        os.kill(pid, signal.SIGKILL)


@dataclass
class Daemons:
    """The daemons of one test, on the mount of its world."""

    world: World
    folder: Path
    started: list[tuple[Process, Path | None]] = field(default_factory=list)
    program: tuple[str, ...] = ("-m", "ingestd")
    environment: dict[str, str] = field(default_factory=dict)

    def start(
        self, *, server: EmbeddedMariaDB | None = None, socket: str = "", embedded: Path | None = None, **sections: Any
    ) -> Process:
        """Starts a daemon on the database of the world, of `server`, at `socket`, or with its own."""
        options = [] if embedded is None else ["--embedded", str(embedded)]
        if embedded is None:
            socket = socket or (server or self.world.server).socket
            sections = {"database": {"unix_socket": socket, "user": "ingestd"}, **sections}
        process = self.make("run", *options, **sections)
        self.started.append((process, embedded))
        process.start()
        return process

    def make(self, *command: str, **sections: Any) -> Process:
        """A configured process that is not started. All listeners are disabled."""
        number = len(list(self.folder.glob("*.toml")))
        mount = {"root": str(self.world.root), "require_mount": False, **sections.pop("mount", {})}
        closed = {"http": {"listen": ""}, "metrics": {"listen": ""}}
        config = self.folder / f"{number}.toml"
        config.write_text(toml({"mount": mount, **closed, **sections}))
        log = self.folder / f"{number}.log"
        return Process(["--config", str(config), *command], log, self.environment, self.program)

    def reap(self) -> None:
        for process, embedded in self.started:
            process.reap(embedded)


@contextmanager
def daemons_of(world: World, folder: Path) -> Iterator[Daemons]:
    """Starts daemons; ends all of them afterwards."""
    made = Daemons(world, folder)
    try:
        yield made
    finally:
        made.reap()

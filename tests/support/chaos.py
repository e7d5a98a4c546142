"""Random faults of daemons, database, network and mount, several at a time, each counted."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.embedded import EmbeddedMariaDB
from support.mariadb_proxy import Fault, MariaDBProxy, drop_reply, drop_request
from support.process import Process
from support.world import World

CLIENTS = "SELECT id FROM information_schema.processlist WHERE user = %s"
LOST_COMMITS = 3


@dataclass
class BoundMount:
    """A file system at `folder` that shows `origin`; away, the folder below it is empty. Only root can mount."""

    origin: Path
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.is_real = self.attach()

    def attach(self) -> bool:
        command = ["mount", "--bind", str(self.origin), str(self.folder)]
        return not subprocess.run(command, capture_output=True, check=False).returncode

    def detach(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)


def crash(server: EmbeddedMariaDB) -> None:
    """Kills the server and starts it again on the same data."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()


@dataclass
class Chaos:
    """Strikes one of its faults at a time; those that last end by themselves while others strike.

    `seconds` is how long a daemon is frozen or the mount is away at most.
    """

    world: World
    processes: list[Process]
    proxy: MariaDBProxy
    mount: BoundMount | None
    dice: random.Random
    seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    _pending: dict[str, tuple[float, Callable[[], object]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._weights: dict[Callable[[], None], int] = {
            self.kill_daemon: 30, self.freeze_daemon: 30, self.cut_connections: 15, self.lose_commits: 20,
            self.crash_server: 4, self.freeze_server: 4, self.take_mount: 5 if self.mount else 0,
        }  # fmt: skip
        self._first = [fault for fault, weight in self._weights.items() if weight]
        self.dice.shuffle(self._first)

    @property
    def has_more(self) -> bool:
        """Whether a kind of fault has not struck yet."""
        return bool(self._first)

    def strike(self) -> None:
        """One fault: at first each kind once, then by weight."""
        self._end_due()
        kinds, weights = zip(*self._weights.items(), strict=True)
        fault = self._first.pop() if self._first else self.dice.choices(kinds, weights)[0]
        fault()

    def end(self) -> None:
        """Ends what lasts."""
        self._count_lost()
        self.proxy.clear()
        self._end_due(float("inf"))

    def _end_due(self, now: float | None = None) -> None:
        now = time.monotonic() if now is None else now
        for key, (until, undo) in [*self._pending.items()]:
            if until <= now:
                del self._pending[key]
                undo()

    def _lasting(self, key: str, begin: Callable[[], object], undo: Callable[[], object]) -> bool:
        if key in self._pending:
            return False
        begin()
        self._pending[key] = time.monotonic() + self.seconds * self.dice.random(), undo
        return True

    # faults

    def kill_daemon(self) -> None:
        process = self.dice.choice(self.processes)
        self._pending.pop(f"daemon {process.log_file}", None)
        process.kill()
        process.start()
        self.counts["daemon killed"] += 1

    def freeze_daemon(self) -> None:
        process = self.dice.choice(self.processes)
        key = f"daemon {process.log_file}"
        self.counts["daemon frozen"] += self._lasting(key, lambda: process.send(signal.SIGSTOP), process.thaw)

    def cut_connections(self) -> None:
        """Some of them, as an administrator or a time limit of the server does."""
        for (number,) in self.world.sql(CLIENTS, "ingestd"):
            if self.dice.random() < 0.5:
                self.counts["connection killed"] += 1
                self.world.sql(f"BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; KILL {number}; END")

    def lose_commits(self) -> None:
        """The connection breaks before or after the server has executed a COMMIT."""
        self.proxy.statements.clear()
        self._count_lost()
        action = self.dice.choice((drop_reply, drop_reply, drop_request))
        times = self.dice.randint(1, LOST_COMMITS)
        self.proxy.faults = [Fault("^COMMIT", action, nth=self.dice.randint(1, 10), times=times)]

    def _count_lost(self) -> None:
        self.counts["COMMIT lost"] += sum(fault.done for fault in self.proxy.faults)

    def crash_server(self) -> None:
        crash(self.world.server)
        self.counts["database killed"] += 1

    def freeze_server(self) -> None:
        pid = self.world.server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.seconds * self.dice.random())
        os.kill(pid, signal.SIGCONT)
        self.counts["database frozen"] += 1

    def take_mount(self) -> None:
        assert self.mount is not None
        self.counts["mount away"] += self._lasting("mount", self.mount.detach, self.mount.attach)

"""What may hang while a daemon stops: the database, the mount, helpers, clients, and the reader of its log.

Each hang is a context manager that starts a daemon, lasts until its end, and gives the process to be stopped meanwhile.
"""

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pymysql

from ingestd.embedded import EmbeddedMariaDB
from support.fuse import FuseMount
from support.process import Daemons, Process
from support.processes import helpers
from support.wait import until
from support.world import World, md5

ASSETS = "LOCK TABLES asset WRITE"
LOCKS = (
    ASSETS,
    "FLUSH TABLES WITH READ LOCK",
    "LOCK TABLES import_job WRITE",
    "LOCK TABLES ingest_batch_item WRITE",
    "SELECT * FROM ingest_batch FOR UPDATE",
)
REQUESTS = (
    b"",
    b"GET /healthz HTTP/1.1\r\nHost: local",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
    b"POST /api/v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    b"POST /api/v1/scan HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
)
"""of clients that never finish theirs, never read the answer, or never go"""
OPEN = {"http": {"listen": "127.0.0.1:0"}, "metrics": {"listen": "127.0.0.1:0"}}


def items(count: int, *, with_documents: bool = False) -> list[dict[str, Any]]:
    more = [{"path": f"photo/{number}"} if with_documents else {} for number in range(count)]
    return [{"type": "photo", "hash": md5(str(number)), **more[number]} for number in range(count)]


# one hang each


@contextmanager
def frozen(server: EmbeddedMariaDB) -> Iterator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def blocked(world: World, *statements: str) -> Iterator[None]:
    """Meanwhile another client of the database has run these statements, and keeps its locks."""
    owner = world.server.owner_settings()
    connection = pymysql.connect(
        unix_socket=owner.unix_socket, user=owner.user, password=owner.password(), database=owner.name,
        ssl_disabled=True, autocommit=True,
    )  # fmt: skip
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield
    finally:
        connection.close()


@contextmanager
def frozen_helpers(process: Process) -> Iterator[set[int]]:
    frozen = helpers(process.pid)
    for helper in frozen:
        os.kill(helper, signal.SIGSTOP)
    try:
        yield frozen
    finally:
        for helper in frozen:
            with suppress(ProcessLookupError):
                os.kill(helper, signal.SIGKILL)


@contextmanager
def clients(process: Process, requests: list[bytes]) -> Iterator[None]:
    """Clients of all listeners of the daemon, which keep their connections."""
    lines = [line for line in process.log.splitlines() if "event=listening" in line]
    ports = [int(line.rpartition("address=127.0.0.1:")[2].split()[0]) for line in lines]
    with ExitStack() as stack:
        for port in ports:
            for request in requests:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(request)
        yield


@contextmanager
def full_pipe() -> Iterator[int]:
    """The end of a pipe to which nothing more can be written, because it is not read."""
    read_end, write_end = os.pipe()
    try:
        os.set_blocking(write_end, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x" * 4096)
        os.set_blocking(write_end, True)
        yield write_end
    finally:
        os.close(write_end)
        os.close(read_end)


# hangs of a running daemon at random moments


@dataclass
class Site:
    """Where the daemons of one test run: with a random load, and random settings but `worker.stop_seconds`."""

    world: World
    daemons: Daemons
    folder: Path
    dice: random.Random
    stop_seconds: float

    @property
    def settings(self) -> dict[str, Any]:
        worker = {"chunk_items": self.dice.choice((1, 10, 200)), "threads": self.dice.choice((1, 4))}
        quick = {"poll_interval": 0.1, "heartbeat_interval": 0.5, "stop_seconds": self.stop_seconds}
        return {"worker": {**worker, **quick}, "queue": {"auto": ["create"]}}

    def load(self) -> None:
        """Bundles, with and without documents."""
        for number in range(self.dice.randint(1, 3)):
            has_documents = self.dice.random() < 0.5
            count = self.dice.choice((20, 300) if has_documents else (20, 2000))
            listed = items(count, with_documents=has_documents)
            for item in listed if has_documents else ():
                (self.world.root / item["path"] / "source").mkdir(parents=True, exist_ok=True)
            self.world.put(*listed, day=number + 1)

    def running(self, **sections: Any) -> Process:
        """A daemon in the middle of something."""
        self.load()
        process = self.daemons.start(server=self.world.server, log={"level": "info"}, **self.settings, **sections)
        process.wait_until_started()
        time.sleep(self.dice.uniform(0.0, 1.0))
        return process


Hang = Callable[[Site], AbstractContextManager[Process]]


@contextmanager
def frozen_database(site: Site) -> Iterator[Process]:
    process = site.running()
    with frozen(site.world.server):
        yield process


@contextmanager
def locked(site: Site, lock: str) -> Iterator[Process]:
    process = site.running()
    with blocked(site.world, "BEGIN", lock):
        yield process


@contextmanager
def hung_mount(site: Site) -> Iterator[Process]:
    """A FUSE file system whose process is frozen."""
    mount = FuseMount(f":local:{site.world.root}", site.folder / "fuse")
    mount.mount()
    try:
        process = site.running(mount={"root": str(mount.folder), "require_mount": True})
        mount.hang()
        yield process
    finally:
        mount.unmount()


@contextmanager
def hung_helpers(site: Site) -> Iterator[Process]:
    process = site.running()
    with frozen_helpers(process):
        yield process


@contextmanager
def greedy_clients(site: Site) -> Iterator[Process]:
    process = site.running(**OPEN)
    with clients(process, [site.dice.choice(REQUESTS) for _ in range(site.dice.choice((10, 200)))]):
        yield process


@contextmanager
def unread_log(site: Site) -> Iterator[Process]:
    site.load()
    socket_of = {"unix_socket": site.world.server.socket, "user": "ingestd"}
    process = site.daemons.make("run", log={"level": "debug"}, database=socket_of, **site.settings)
    with full_pipe() as pipe:
        process.start(pipe)
        site.daemons.started.append((process, None))
        time.sleep(site.dice.uniform(0.0, 3.0))
        yield process


@contextmanager
def beginning(site: Site) -> Iterator[Process]:
    """A daemon that was just executed, on a database that may be frozen."""
    site.load()
    with ExitStack() as stack:
        if site.dice.random() < 0.5:
            stack.enter_context(frozen(site.world.server))
        process = site.daemons.start(server=site.world.server, **site.settings)
        time.sleep(site.dice.uniform(0.0, 1.5) ** 2)
        yield process


@contextmanager
def migrating(site: Site) -> Iterator[Process]:
    """A daemon that installs, starts, migrates or uses a database of its own, which may be frozen then."""
    folder = site.folder / "own"
    process = site.daemons.start(embedded=folder, **site.settings)
    time.sleep(site.dice.uniform(0.2, 4.0))
    pid_file = folder / "pid"
    with suppress(OSError, ValueError):
        if site.dice.random() < 0.5:
            os.kill(int(pid_file.read_text()), signal.SIGSTOP)
    yield process


HANGS: tuple[Hang, ...] = (
    frozen_database, hung_mount, hung_helpers, greedy_clients, unread_log, beginning, migrating,
    *(partial(locked, lock=lock) for lock in LOCKS),
)  # fmt: skip


def has_database(folder: Path) -> bool:
    """Whether a MariaDB runs in `folder`."""
    commands = Path("/proc").glob("[0-9]*/cmdline")
    for file in commands:
        with suppress(OSError):
            command = file.read_bytes()
            if b"mariadbd" in command and os.fsencode(folder) in command:
                return True
    return False


def until_ended(pids: set[int]) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="for the helpers to end")

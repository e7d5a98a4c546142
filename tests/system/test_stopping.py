"""The real daemon stops in time, with status 0 and without an exception, whatever hangs."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ingestd.embedded import EmbeddedMariaDB
from support.private_db import migrated_server
from support.process import Daemons, Process, daemons_of
from support.scale import scaled
from support.wait import until
from support.world import World, md5

STOP_SECONDS = 4.0
SLOW = 20.0
"""on a busy machine, what is limited is the daemon's waiting, not its work"""
MANY = 3000
WORKER = {"chunk_items": 10, "poll_interval": 0.1, "stop_seconds": STOP_SECONDS, "heartbeat_interval": 0.5}
AUTO = {"auto": ["create"]}

Hang = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made


def items(count: int, *, with_documents: bool = False) -> list[dict[str, Any]]:
    more = [{"path": f"photo/{number}"} if with_documents else {} for number in range(count)]
    return [{"type": "photo", "hash": md5(str(number)), **more[number]} for number in range(count)]


def start(daemons: Daemons, **sections: Any) -> Process:
    return daemons.start(worker=WORKER, queue=AUTO, log={"level": "info"}, **sections)


def until_midway(world: World, process: Process) -> None:
    done = "SELECT COALESCE(SUM(items_done), 0) FROM import_job"
    until(lambda: process.has_ended() or world.one(done) > 0, what=lambda: f"for the first items: {process.log}")
    assert world.one(done) < MANY, "the signal comes in the middle"


def demand_clean_end(process: Process, number: signal.Signals = signal.SIGTERM) -> None:
    """Status 0, in time, and no exception in the log."""
    began = time.monotonic()
    process.send(number)
    assert process.wait(SLOW) == 0, process.log
    took = time.monotonic() - began
    assert took < STOP_SECONDS, f"it took {took:.1f} s: {process.log}"
    demand_no_exception(process)


def demand_no_exception(process: Process) -> None:
    for sign in ("Traceback", "exception", "service_failed", "Error:"):
        assert sign not in process.log, process.log


def demand_put_back(world: World) -> None:
    assert world.sql("SELECT state, claimed_by FROM import_job") == [("queued", None)]
    kind, reason = world.sql(
        "SELECT event_type, JSON_VALUE(payload, '$.reason') FROM ingest_event ORDER BY id DESC LIMIT %s", 1
    )[0]
    assert (kind, reason) == ("job_released", "stopping")


# the database


@pytest.fixture(scope="module")
def frozen_server() -> Iterator[EmbeddedMariaDB]:
    with migrated_server() as server:
        yield server


@contextlib.contextmanager
def frozen(server: EmbeddedMariaDB) -> Iterator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_frozen_database(world: World, daemons: Daemons, frozen_server: EmbeddedMariaDB) -> None:
    own = World(frozen_server, world.root)
    own.put(*items(MANY))
    process = start(daemons, server=frozen_server)
    until_midway(own, process)
    with frozen(frozen_server):
        demand_clean_end(process)
    # It could not be put back. The next daemon recognises that its worker is dead.
    start(daemons, server=frozen_server).wait_for("event=job_reset")


def test_database_that_freezes_before_the_first_connection(
    world: World, daemons: Daemons, frozen_server: EmbeddedMariaDB
) -> None:
    with frozen(frozen_server):
        process = start(daemons, server=frozen_server)
        process.wait_until_started()
        demand_clean_end(process)


@contextlib.contextmanager
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


ASSETS = "LOCK TABLES asset WRITE"
LOCKS = (
    ASSETS,
    "FLUSH TABLES WITH READ LOCK",
    "LOCK TABLES import_job WRITE",
    "LOCK TABLES ingest_batch_item WRITE",
    "SELECT * FROM ingest_batch FOR UPDATE",
)


@pytest.mark.soak
@pytest.mark.parametrize("lock", LOCKS[: scaled(2, len(LOCKS))])
def test_locks_of_another_client(world: World, daemons: Daemons, lock: str) -> None:
    world.put(*items(MANY))
    process = start(daemons)
    until_midway(world, process)
    with blocked(world, "BEGIN", lock):
        waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'ingestd' AND command = 'Query'"
        until(lambda: lock != ASSETS or world.one(waiting), what="for the daemon to wait for the lock")
        demand_clean_end(process)
        if lock == ASSETS:
            demand_put_back(world)


# the mount


def helpers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


def test_hung_helpers(world: World, daemons: Daemons) -> None:
    for number in range(MANY):
        (world.root / f"photo/{number}/source").mkdir(parents=True)
    world.put(*items(MANY, with_documents=True))
    process = start(daemons)
    until_midway(world, process)
    helpers = helpers_of(process.pid)
    for helper in helpers:
        os.kill(helper, signal.SIGSTOP)
    try:
        demand_clean_end(process)
        demand_put_back(world)
        until(lambda: not any(Path(f"/proc/{helper}").exists() for helper in helpers), what="for the helpers to end")
    finally:
        for helper in helpers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(helper, signal.SIGKILL)


# clients, and who reads the log


def test_http_clients_that_never_finish(world: World, daemons: Daemons) -> None:
    process = start(daemons, http={"listen": "127.0.0.1:0"}, metrics={"listen": "127.0.0.1:0"})
    process.wait_until_started()
    lines = [line for line in process.log.splitlines() if "event=listening" in line]
    ports = [int(line.rpartition("address=127.0.0.1:")[2].split()[0]) for line in lines]
    clients = [socket.create_connection(("127.0.0.1", port)) for port in ports for _ in range(20)]
    try:
        for client in clients:
            client.sendall(b"POST /api/v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        demand_clean_end(process)
    finally:
        for client in clients:
            client.close()


def test_log_that_is_not_read(world: World, daemons: Daemons) -> None:
    world.put(*items(MANY))
    process = daemons.make("run", worker=WORKER, queue=AUTO, log={"level": "debug"},
                           database={"unix_socket": world.server.socket, "user": "ingestd"})  # fmt: skip
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    with subprocess.Popen([sys.executable, "-m", "ingestd", *process.arguments], stderr=write_end) as daemon:
        os.close(write_end)
        try:
            until(lambda: world.one("SELECT COALESCE(SUM(items_done), 0) FROM import_job") > 0)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(SLOW) == 0
            demand_put_back(world)
        finally:
            daemon.kill()
            os.close(read_end)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(scaled(1, 100)))
def test_a_stop_at_a_random_moment_under_a_random_hang(
    world: World, daemons: Daemons, frozen_server: EmbeddedMariaDB, seed: int
) -> None:
    chosen = random.Random(seed)
    own = World(frozen_server, world.root)
    own.put(*items(MANY))
    process = start(daemons, server=frozen_server)
    process.wait_until_started()
    hangs: list[Hang] = [partial(frozen, frozen_server), *(partial(blocked, own, "BEGIN", lock) for lock in LOCKS)]
    with chosen.choice(hangs)():
        time.sleep(chosen.uniform(0.0, 1.0))
        demand_clean_end(process, chosen.choice((signal.SIGTERM, signal.SIGINT)))

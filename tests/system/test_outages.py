"""An outage of any length costs the real daemon few ledger events and little CPU; then it imports everything."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pymysql
import pytest

from ingestd.embedded import EmbeddedMariaDB
from support.hogs import full_server, server_of, small_world_of
from support.mounts import absent_mount
from support.process import Daemons, Process, daemons_of
from support.scale import IS_SOAK, scaled
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World, photo

SECONDS = scaled(1, 60)
MAX_EVENTS, MAX_CPU_SECONDS = 20, 1.0
"""in a minute"""
THREADS = 4
BUNDLES, ITEMS = 6, scaled(150, 600)
WORKER = {"threads": THREADS, "chunk_items": 1, "poll_interval": 0.1, "stop_seconds": 10.0, "heartbeat_interval": 0.5}
TICKS = os.sysconf("SC_CLK_TCK")

Outage = Callable[[World], AbstractContextManager[object]]


@pytest.fixture(scope="module")
def small_server() -> Iterator[EmbeddedMariaDB]:
    with server_of(30) as server:
        yield server


@pytest.fixture
def small_world(world: World, small_server: EmbeddedMariaDB) -> Iterator[World]:
    with small_world_of(world, small_server) as made:
        yield made


@pytest.fixture
def daemons(small_world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(small_world, tmp_path) as made:
        made.environment = NOT_MEASURED
        yield made


# outages


@contextmanager
def no_connections(world: World) -> Iterator[None]:
    """Other clients hold all connections, also those that the daemon had."""
    with full_server(world, also_own=True):
        yield


@contextmanager
def last_connections(world: World) -> Iterator[None]:
    """Other clients hold all connections that the daemon does not have at this moment."""
    with full_server(world):
        yield


@contextmanager
def flapping_mount(world: World) -> Iterator[None]:
    """The mount comes and goes several times a second."""
    ending = threading.Event()

    def flap() -> None:
        while not ending.wait(0.2):
            with absent_mount(world):
                time.sleep(0.1)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def locked_table(world: World, table: str) -> Iterator[None]:
    settings = world.server.owner_settings()
    connection = pymysql.connect(
        unix_socket=settings.unix_socket, user=settings.user, database=settings.name, ssl_disabled=True
    )
    try:
        connection.cursor().execute(f"LOCK TABLES {table} WRITE")
        yield
    finally:
        connection.close()


@contextmanager
def locked_assets(world: World) -> Iterator[None]:
    with locked_table(world, "asset"):
        yield


OUTAGES: list[Outage] = [no_connections, flapping_mount]
if IS_SOAK:
    OUTAGES += [last_connections, absent_mount, locked_assets]


# measured


def events(world: World) -> int:
    """Ledger events about jobs: those about items are the progress that an outage leaves possible."""
    return int(world.one("SELECT COUNT(*) FROM ingest_event WHERE event_type NOT LIKE 'item%%' AND %s", 1))


def cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def started(world: World, daemons: Daemons) -> Process:
    """A daemon whose workers are all busy."""
    for number in range(BUNDLES):
        world.put(*(photo(f"{number}-{item}", files=0) for item in range(ITEMS)))
    process = daemons.start(worker=WORKER, queue={"auto": ["create"]}, mount={"rescan_interval": 1.0})
    busy = "SELECT COUNT(*) FROM import_job WHERE state = 'running' AND items_done > 0"
    until(lambda: world.one(busy) == THREADS, what=lambda: f"for busy workers; log: {process.log}")
    return process


@pytest.mark.soak
@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_leaves_few_traces(small_world: World, daemons: Daemons, outage: Outage) -> None:
    process = started(small_world, daemons)
    with outage(small_world):
        before, cpu = events(small_world), cpu_seconds(process)
        time.sleep(SECONDS)
        assert events(small_world) - before <= MAX_EVENTS, process.log
        # While only the last connections are held, the daemon works on.
        assert outage is last_connections or cpu_seconds(process) - cpu <= MAX_CPU_SECONDS
    until(
        lambda: (
            small_world.sql("SELECT status, COUNT(*) FROM ingest_batch WHERE %s GROUP BY 1", 1)
            == [("imported", BUNDLES)]
        ),
        seconds=90,
        what=lambda: f"for the imports; log: {process.log}",
    )
    assert small_world.one("SELECT COUNT(*) FROM asset") == BUNDLES * ITEMS
    states = small_world.sql("SELECT DISTINCT state, reset_count, last_error FROM import_job WHERE %s", 1)
    assert states == [("done", 0, None)], process.log
    assert process.terminate(15) == 0

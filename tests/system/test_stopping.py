"""The real daemon stops in time, with status 0 and without an exception, whatever hangs."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.embedded import EmbeddedMariaDB
from support.endings import demand_good_end, demand_no_exception
from support.hangs import (
    ASSETS,
    HANGS,
    LOCKS,
    OPEN,
    REQUESTS,
    Site,
    blocked,
    clients,
    frozen,
    frozen_helpers,
    full_pipe,
    has_database,
    items,
    until_ended,
)  # fmt: skip
from support.private_db import migrated_server
from support.process import Daemons, Process
from support.scale import scaled
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World, empty

STOP_SECONDS = 3.0
WORK_SECONDS = 0.2
"""of a processor, for the end of the process"""
SLOW = 20.0
MANY = 3000
WORKER = {"chunk_items": 10, "poll_interval": 0.1, "stop_seconds": STOP_SECONDS, "heartbeat_interval": 0.5}
AUTO = {"auto": ["create"]}


@pytest.fixture
def daemons(daemons: Daemons) -> Daemons:
    daemons.environment = NOT_MEASURED
    return daemons


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
    assert wait(process, began) == 0, process.log
    demand_no_exception(process)


def wait(process: Process, began: float) -> int:
    """The exit status. The limit is about waiting: what little work there is takes longer on a busy machine."""
    status = process.wait(SLOW)
    took, load = time.monotonic() - began, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert took < STOP_SECONDS + load * WORK_SECONDS, f"it took {took:.1f} s at load {load:.1f}: {process.log}"
    return status


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


def test_hung_helpers(world: World, daemons: Daemons) -> None:
    for number in range(MANY):
        (world.root / f"photo/{number}/source").mkdir(parents=True)
    world.put(*items(MANY, with_documents=True))
    process = start(daemons)
    until_midway(world, process)
    with frozen_helpers(process) as helpers:
        demand_clean_end(process)
        demand_put_back(world)
        until_ended(helpers)


# clients, and who reads the log


def test_http_clients_that_never_finish(world: World, daemons: Daemons) -> None:
    process = start(daemons, **OPEN)
    process.wait_until_started()
    with clients(process, 20 * [REQUESTS[4]]):
        demand_clean_end(process)


def test_log_that_is_not_read(world: World, daemons: Daemons) -> None:
    world.put(*items(MANY))
    process = daemons.make("run", worker=WORKER, queue=AUTO, log={"level": "debug"},
                           database={"unix_socket": world.server.socket, "user": "ingestd"})  # fmt: skip
    with full_pipe() as pipe:
        process.start(pipe)
        try:
            until(lambda: world.one("SELECT COALESCE(SUM(items_done), 0) FROM import_job") > 0)
            demand_clean_end(process)
            demand_put_back(world)
        finally:
            process.kill()


# anything, at any moment


SIGNALS = (
    (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGINT, signal.SIGTERM), (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT),
)  # fmt: skip


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(scaled(2, 100 * len(HANGS))))
def test_a_stop_at_a_random_moment_under_a_random_hang(
    daemons: Daemons, frozen_server: EmbeddedMariaDB, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    world = World(frozen_server, daemons.world.root)
    empty(world)
    with HANGS[seed % len(HANGS)](Site(world, daemons, tmp_path, dice, STOP_SECONDS)) as process:
        time.sleep(dice.choice((0.0, dice.uniform(0.0, 0.5))))
        numbers = dice.choice(SIGNALS)
        began = time.monotonic()
        for number in numbers:
            if not process.has_ended():
                process.send(number)
                time.sleep(dice.choice((0.0, dice.uniform(0.0, 0.1))))
        demand_good_end(process, numbers, wait(process, began))
    until(lambda: not has_database(tmp_path), seconds=2.0, what="for its database to end")

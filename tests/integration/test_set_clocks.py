"""The clock of the database server is set while jobs run: live workers keep them, and dead ones lose them in time."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from ingestd.model import Lease
from ingestd.pipeline import rescuer as rescuer_module
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.heartbeat import Heartbeat
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.store.db import Tx
from ingestd.store.queries import server
from support.logged import logged_by
from support.requests import accept, look, take
from support.world import World, photo

ME = this_instance()
ELSEWHERE = str(ME._replace(machine_id="0" * 32))
SetClock = Callable[[float], None]


@pytest.fixture
def context(world: World) -> Context:
    return world.context(worker={"heartbeat_interval": 15.0, "stale_after": 60.0})


@pytest.fixture
def lease(world: World, context: Context) -> Lease:
    """A job that runs elsewhere, whose heartbeat is fresh."""
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    taken = claim(context, "elsewhere/pid:7/0", ELSEWHERE)
    assert taken is not None
    return taken


@pytest.fixture
def set_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the server's clock by so many seconds; seen from it, all earlier times move the other way."""
    set_by = timedelta()
    real = server.now

    def now(tx: Tx) -> datetime:
        return real(tx) + set_by

    def set_(seconds: float) -> None:
        nonlocal set_by
        set_by += timedelta(seconds=seconds)
        for table in ("import_job", "ingest_request"):
            world.sql(f"UPDATE {table} SET heartbeat_at = heartbeat_at - INTERVAL %s SECOND", seconds)

    monkeypatch.setattr(server, "now", now)
    return set_


def pass_time(context: Context, seconds: float) -> None:
    """As if the wait for heartbeats had begun so many seconds ago."""
    assert context.db.available_since is not None
    context.db.available_since -= seconds


def beat(context: Context, lease: Lease) -> None:
    Heartbeat(context, lambda: [lease], list).run_once()


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 86400.0])
def test_a_live_worker_keeps_its_job(
    world: World, context: Context, lease: Lease, set_clock: SetClock, seconds: float
) -> None:
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    set_clock(seconds)
    rescuer.run_once()
    assert world.one("SELECT state FROM import_job") == "running", "it had no time to send a heartbeat"
    beat(context, lease)
    pass_time(context, 60.0)
    rescuer.run_once()
    assert world.one("SELECT state FROM import_job") == "running"


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_dead_worker_loses_its_job_and_its_request(
    world: World, context: Context, lease: Lease, set_clock: SetClock, seconds: float
) -> None:
    request_id = accept(world)
    assert take(context) is not None
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    set_clock(seconds)
    rescuer.run_once()
    pass_time(context, 60.0)
    rescuer.run_once()
    assert world.one("SELECT state FROM import_job") == "queued"
    assert look(world, request_id).state == "queued"


def test_small_corrections_change_nothing(world: World, context: Context, lease: Lease, set_clock: SetClock) -> None:
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    world.sql("UPDATE import_job SET heartbeat_at = heartbeat_at - INTERVAL 61 SECOND")
    set_clock(2.0)
    rescuer.run_once()
    assert world.one("SELECT state FROM import_job") == "queued"


@pytest.mark.parametrize("slow", [1, 2, 3, 7])
def test_a_reply_that_takes_long_is_not_a_clock_that_was_set(
    context: Context, lease: Lease, monkeypatch: pytest.MonkeyPatch, slow: int
) -> None:
    """Its clock was read when the wait began, or when it ended."""
    passed, left = 0.0, 0
    real = server.now

    def now(tx: Tx) -> datetime:
        nonlocal passed, left
        found = real(tx) + timedelta(seconds=passed)
        if left:
            passed, left = passed + 80.0, left - 1
        return found

    monkeypatch.setattr(server, "now", now)
    monkeypatch.setattr(rescuer_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    logged = logged_by(rescuer_module, monkeypatch)
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    left = slow
    for _ in range(4):
        rescuer.run_once()
    assert not left
    assert not logged.of("clock_set")

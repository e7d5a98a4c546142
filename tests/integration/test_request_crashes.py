"""Requests survive: a crash, silence, a lost COMMIT, a stopping daemon; several daemons run each one once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.model import RequestState
from ingestd.pipeline import requests
from ingestd.pipeline.context import Context
from ingestd.pipeline.heartbeat import Heartbeat
from ingestd.pipeline.identity import Instance
from ingestd.pipeline.requests import PreflightStep
from ingestd.pipeline.rescuer import Rescuer
from ingestd.store import request
from ingestd.store.db import Tx
from support.process import daemons_of
from support.requests import ME, accept, look, scans_of, states, take
from support.uncovered import NOT_MEASURED
from support.wait import until
from support.world import World, photo

QUICK = {"poll_interval": 0.05, "heartbeat_interval": 0.1, "stale_after": 0.6}
SILENT = "UPDATE ingest_request SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR"


# crashes


def lost(world: World, instance: str) -> int:
    """A request that a process with this instance is running."""
    request_id = accept(world)
    world.sql("UPDATE ingest_request SET state = 'running', claim_token = 1, claimed_instance = %s,"
              " heartbeat_at = UTC_TIMESTAMP(6) WHERE id = %s", instance, request_id)  # fmt: skip
    return request_id


def test_a_request_of_a_dead_process_is_put_back_at_start(world: World) -> None:
    lost(world, str(ME._replace(started="1")))
    Rescuer(world.context(), ME).run_once()
    assert states(world) == ["queued"]


@pytest.mark.parametrize("instance", [ME, ME._replace(machine_id="another", started="1")])
def test_a_request_of_a_living_process_is_left_alone(world: World, instance: Instance) -> None:
    lost(world, str(instance))
    Rescuer(world.context(), ME).run_once()
    assert states(world) == ["running"]


def test_a_silent_request_is_put_back_and_its_old_claim_ends_nothing(world: World) -> None:
    context = world.context()
    accept(world)
    claim = take(context)
    assert claim is not None
    world.sql(SILENT)
    Rescuer(context, ME).run_once()
    assert states(world) == ["queued"]
    newer = take(context)
    assert newer == replace(claim, token=claim.token + 1)
    for write in (
        partial(request.finish, claim=claim, result={}, error=None),
        partial(request.release, claim=claim),
        partial(request.beat, claim=claim),
    ):
        assert not context.db.transaction(write)
    assert states(world) == ["running"]


def test_a_request_that_crashes_again_and_again_fails(world: World) -> None:
    """It may be what kills its processes: a plan that needs more memory than there is."""
    context = world.context()
    request_id = accept(world)
    for _ in range(requests.MAX_RESETS):
        assert states(world) == ["queued"]
        assert take(context) is not None
        world.sql(SILENT)
        Rescuer(context, ME).run_once()
    failed = look(world, request_id)
    assert (failed.state, failed.error) == (RequestState.FAILED, requests.CRASHED)
    assert failed.finished_at is not None


def test_a_heartbeat_at_the_last_moment_prevents_the_reset(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    accept(world)
    claim = take(context)
    assert claim is not None
    world.sql(SILENT)
    reset = request.reset

    def late(tx: Tx, **values: Any) -> bool:
        world.context().db.transaction(partial(request.beat, claim=claim))
        return reset(tx, **values)

    monkeypatch.setattr(request, "reset", late)
    Rescuer(context, ME).run_once()
    assert states(world) == ["running"]


def test_a_running_request_keeps_its_heartbeat(world: World) -> None:
    context = world.context()
    accept(world)
    claim = take(context)
    assert claim is not None
    world.sql(SILENT)
    Heartbeat(context, list, lambda: [claim]).run_once()
    Rescuer(context, ME).run_once()
    assert states(world) == ["running"]


def test_a_claim_whose_commit_was_not_confirmed_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server commits, and the connection breaks before the reply arrives."""
    accept(world)
    context = world.context()
    connection = context.db.connection()
    commit = connection.commit

    def cut() -> None:
        commit()
        world.sql(f"KILL {connection.thread_id()}")  # type: ignore[no-untyped-call]
        connection.ping(reconnect=False)

    monkeypatch.setattr(connection, "commit", cut)
    assert scans_of(context).runner.run_next()
    assert states(world) == ["done"]
    assert world.one("SELECT claim_token FROM ingest_request") == 1


def hold(world: World, sync_id: str) -> Callable[[], None]:
    """Locks the row of a batch, so that its pre-flight does not end; returns what lets go."""
    context = world.context()
    connection = context.db.connection()
    connection.begin()
    connection.cursor().execute("SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", (sync_id,))
    return connection.rollback


@pytest.mark.parametrize("other", ["runs already", "starts afterwards"])
def test_a_request_of_a_killed_daemon_is_finished_by_another_one(world: World, tmp_path: Path, other: str) -> None:
    sync_id = world.put(photo("a"))
    world.scan(world.context())
    let_go = hold(world, sync_id)
    request_id = accept(world, sync_id)
    with daemons_of(world, tmp_path) as daemons:
        daemons.environment = NOT_MEASURED
        first = daemons.start(worker=QUICK)
        until(lambda: states(world) == ["running"], what="for the claim")
        claimed_by = look(world, request_id).claimed_by
        if other == "runs already":
            daemons.start(worker=QUICK).wait_until_started()
        first.kill()
        let_go()
        if other == "starts afterwards":
            daemons.start(worker={**QUICK, "stale_after": 900.0})
        until(lambda: states(world) == ["done"], what="for the other daemon")
    done = look(world, request_id)
    assert done.claimed_by != claimed_by
    assert done.result is not None
    assert done.result["counts"]["will_create"] == 1


def test_a_stopping_daemon_puts_its_request_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    is_open = threading.Event()
    sync_id = world.put(photo("a"))

    def slow_plan(_context: Context, _sync_id: str) -> dict[str, Any]:
        is_open.wait(60)
        return {}

    monkeypatch.setattr(requests, "plan", slow_plan)
    daemon = Daemon(world.settings(worker={**QUICK, "stop_seconds": 1.0}))
    world.scan(daemon.context)
    request_id = accept(world, sync_id)
    daemon.start()
    until(lambda: states(world) == ["running"])
    daemon.stop()
    assert look(world, request_id).state is RequestState.QUEUED
    is_open.set()
    assert daemon._preflight.join(30)
    assert look(world, request_id).state is RequestState.QUEUED, "its late end changes nothing"


# several daemons


def test_fifty_requests_of_two_daemons_are_run_once_each(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def note(_context: Context, sync_id: str) -> dict[str, Any]:
        runs.append(sync_id)
        return {}

    monkeypatch.setattr(requests, "plan", note)
    sync_ids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(50)]
    for sync_id in sync_ids:
        accept(world, sync_id)
    steps = [PreflightStep(world.context(), ME) for _ in range(2)]
    barrier = threading.Barrier(2)

    def drain(step: PreflightStep) -> None:
        barrier.wait(10)
        while step.runner.run_next():
            pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(drain, steps))
    assert sorted(runs) == sync_ids
    assert states(world) == ["done"] * 50
    assert world.sql("SELECT DISTINCT claim_token FROM ingest_request") == [(1,)]


def test_a_request_is_taken_by_a_daemon_that_did_not_accept_it(world: World) -> None:
    daemon = Daemon(world.settings(worker=QUICK, mount={"rescan_interval": 1000.0, "watch": "poll"}))
    daemon.start()
    try:
        until(lambda: daemon.scanner.last_success)
        sync_id = world.put(photo("a"))
        scan = accept(world)
        until(lambda: look(world, scan).state is RequestState.DONE, what="for the scan")
        plan = accept(world, sync_id)
        until(lambda: look(world, plan).state is RequestState.DONE, what="for the plan")
    finally:
        daemon.stop()

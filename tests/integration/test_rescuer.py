"""Jobs whose worker died or fell silent are reset; those of living workers are not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.pipeline import claim_pace
from ingestd.pipeline.claims import claim
from ingestd.pipeline.identity import Instance, host, start_time
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.worker_pool import UNTIL_WOKEN, WorkerPool
from ingestd.store import batch
from support.claimed import ME, queued, running, state
from support.refusals import refused_changes, refused_events
from support.scanning import kinds
from support.wait import until
from support.world import World, sample

OTHER_MACHINE = ME._replace(machine_id="0" * 32)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


# silent workers


@pytest.mark.parametrize(
    "instance",
    [str(OTHER_MACHINE), str(ME), "", "no/instance"],
    ids=["other machine", "this process", "empty", "malformed"],
)
def test_a_stale_job_is_reset_by_any_host(world: World, instance: str) -> None:
    context = world.context()
    sync_id = running(world, context, instance, silent_for=901)
    (job_id, at) = world.sql(
        "SELECT id, DATE_FORMAT(heartbeat_at, '%%Y-%%m-%%dT%%T.%%fZ') FROM import_job WHERE %s", 1
    )[0]
    woken: list[int] = []
    rescuer = Rescuer(context, ME, on_reset=lambda: woken.append(1))
    assert rescuer.run_once() == 30.0
    assert woken == [1]
    assert state(world) == world.status(sync_id) == "queued"
    assert world.events(sync_id)[-1] == (
        "job_reset",
        {
            "phase": "job_reset",
            "job_id": job_id,
            "prior_claimed_by": "elsewhere/pid:7/0",
            "prior_heartbeat_at": at,
            "reaped_by": f"{host()}/pid:{os.getpid()}",
            "threshold_seconds": 900,
        },
    )
    assert list(world.events(sync_id)[-1][1]) == sorted(world.events(sync_id)[-1][1])
    row = "SELECT claimed_by, claimed_instance, claimed_at, heartbeat_at, current_item_id, reset_count FROM import_job"
    assert world.sql(row) == [(None, None, None, None, None, 1)]
    rescuer.run_once()
    assert woken == [1]
    assert kinds(world, sync_id).count("job_reset") == 1
    assert sample(context, "stale_resets_total") == 1
    assert world.run_next(context) == "done"


def test_a_job_with_a_fresh_heartbeat_is_left_alone(world: World) -> None:
    context = world.context()
    sync_id = running(world, context, str(OTHER_MACHINE), silent_for=890)
    Rescuer(context, ME).run_once()
    assert state(world) == "running"
    assert "job_reset" not in kinds(world, sync_id)


def test_a_sign_of_life_at_the_last_moment_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the reset the worker beat."""
    context = world.context()
    running(world, context, str(OTHER_MACHINE), silent_for=901)
    real = batch.lock_by_id

    def beating(*args: Any) -> Any:
        world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6)")
        return real(*args)

    monkeypatch.setattr(batch, "lock_by_id", beating)
    assert Rescuer(context, ME).reset_stale() == 0
    assert state(world) == "running"
    assert sample(context, "stale_resets_total") == 0


def test_no_job_is_reset_right_after_an_outage(world: World) -> None:
    """Workers that could not beat get four heartbeat intervals to do so."""
    context = world.context(worker={"heartbeat_interval": 50.0})
    running(world, context, str(OTHER_MACHINE), silent_for=2000)
    rescuer = Rescuer(context, ME)
    context.db.note_outage()
    rescuer.run_once()
    assert context.db.available_since is not None, "it has regained the database"
    assert state(world) == "running"
    context.db.available_since = time.monotonic() - 199
    rescuer.run_once()
    assert state(world) == "running"
    context.db.available_since = time.monotonic() - 201
    rescuer.run_once()
    assert state(world) == "queued"


def test_no_job_is_reset_while_the_database_is_unreachable(world: World) -> None:
    context = world.context()
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    running(world, context, str(OTHER_MACHINE), silent_for=2000)
    context.db.had_outage, context.db.available_since = True, None
    rescuer.run_once()
    assert state(world) == "running"


# dead workers


def dead_of_this_machine() -> dict[str, str]:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return {
        "no such pid": str(ME._replace(pid=gone.pid, started="1")),
        "other start time": str(ME._replace(started="1")),
    }


@pytest.mark.parametrize("how", ["no such pid", "other start time"])
def test_jobs_of_dead_processes_of_this_machine_are_reset_at_once(world: World, how: str) -> None:
    context = world.context()
    sync_id = running(world, context, dead_of_this_machine()[how])
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    assert state(world) == "queued"
    assert kinds(world, sync_id)[-1] == "job_reset"


def test_a_zombie_is_dead(world: World, child: subprocess.Popen[bytes]) -> None:
    context = world.context()
    started = start_time(child.pid)
    assert started is not None
    running(world, context, str(ME._replace(pid=child.pid, started=started)))
    child.send_signal(signal.SIGKILL)
    until(lambda: start_time(child.pid) is None)
    assert child.returncode is None, "it has not been waited for yet"
    assert Rescuer(context, ME).reset_dead() == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_the_job_of_a_living_process_is_left_alone(world: World, child: subprocess.Popen[bytes], stopped: bool) -> None:
    context = world.context()
    started = start_time(child.pid)
    assert started is not None
    running(world, context, str(ME._replace(pid=child.pid, started=started)), silent_for=890)
    if stopped:
        child.send_signal(signal.SIGSTOP)
    Rescuer(context, ME).run_once()
    assert state(world) == "running"


@pytest.mark.parametrize("silent_for", [0, 890])
@pytest.mark.parametrize(
    "instance",
    [
        OTHER_MACHINE._replace(boot_id="another", pid=2**22 + 1, started="1"),
        OTHER_MACHINE._replace(pid_namespace="pid:[1]", pid=2**22 + 1, started="1"),
    ],
)
def test_what_cannot_be_looked_up_from_here_is_left_alone_until_it_is_stale(
    world: World, instance: Instance, silent_for: float
) -> None:
    context = world.context()
    running(world, context, str(instance), silent_for=silent_for)
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    assert state(world) == "running"
    world.sql("UPDATE import_job SET heartbeat_at = heartbeat_at - INTERVAL 901 SECOND")
    rescuer.run_once()
    assert state(world) == "queued"


def test_the_dead_are_looked_for_only_at_the_start_but_until_that_worked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context()
    rescuer = Rescuer(context, ME)

    def unavailable(*_args: Any) -> None:
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(context.db, "read", unavailable)
        with pytest.raises(DatabaseUnavailable):
            rescuer.run_once()
    running(world, context, dead_of_this_machine()["other start time"])
    rescuer.run_once()
    assert state(world) == "queued"


def test_a_run_whose_end_cannot_be_recorded_is_put_back_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker is alive, so no other worker takes it before it is stale."""
    monkeypatch.setattr(claim_pace, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(claim_pace, "FIRST_ASIDE", 0.001)
    context = world.context()
    sync_id = queued(world, context)
    worker_pool = WorkerPool(context, ME)
    with refused_events(world, "job_finished"):
        assert worker_pool.claim_and_run(0) == 0.0
    assert state(world) == world.status(sync_id) == "queued"
    kind, payload = world.events(sync_id)[-1]
    assert (kind, payload["reason"]) == ("job_released", "not_ended")
    assert sample(context, "jobs_finished_total", outcome="released") == 1
    until(lambda: worker_pool.claim_and_run(0) == 0.0)
    assert world.status(sync_id) == "imported"
    assert world.sql("SELECT reset_count, release_count FROM import_job WHERE %s", 1) == [(0, 1)]


def test_a_run_whose_end_cannot_be_recorded_delays_no_other_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes first again each time, and is left to itself meanwhile."""
    monkeypatch.setattr(claim_pace, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(claim_pace, "TRIAL_SECONDS", 0.001)
    monkeypatch.setattr(claim_pace, "FIRST_ASIDE", claim_pace.MAX_ASIDE)
    context = world.context()
    refused = queued(world, context)
    worker_pool = WorkerPool(context, ME)
    with refused_events(world, "job_finished"):
        worker_pool.claim_and_run(0)
    other = queued(world, context)
    until(lambda: worker_pool.claim_and_run(0) == 0.0)
    assert (world.status(refused), world.status(other)) == ("queued", "imported")
    assert worker_pool.claim_and_run(0) == UNTIL_WOKEN, "the poller wakes the workers each second"
    assert world.run_next(context) == "done", "another host may claim it"


@pytest.mark.parametrize("event", ["job_finished", "import_started", "preflight_started"])
def test_a_refused_release_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """Else the job would stay claimed until it is stale."""
    monkeypatch.setattr(claim_pace, "FIRST_PAUSE", 0.001)
    context = world.context()
    sync_id = queued(world, context)
    worker_pool = WorkerPool(context, ME)
    worker_pool._aside = claim_pace.SetAside(0.001, 0.001)
    with refused_events(world, event), refused_events(world, "job_released", name="refusal_of_release"):
        with refused_events(world, "job_finished", name="refusal_of_end") if event != "job_finished" else nullcontext():
            assert worker_pool.claim_and_run(0) == 0.0
        assert state(world) == "running"
    until(lambda: worker_pool.claim_and_run(0) > 0 and state(world) == "done")
    assert world.status(sync_id) == "imported"
    assert world.sql("SELECT reset_count, release_count FROM import_job WHERE %s", 1) == [(0, 1)]


def test_a_refused_reset_keeps_others_from_nothing(world: World) -> None:
    context = world.context()
    refused, other = (running(world, context, dead_of_this_machine()["other start time"]) for _ in range(2))
    first = world.one("SELECT MIN(id) FROM import_job")
    with refused_changes(world, {"import_job": f"OLD.id = {first} AND NEW.state = 'queued'"}):
        Rescuer(context, ME).run_once()
    assert (world.status(refused), world.status(other)) == ("importing", "queued")


@pytest.mark.parametrize("ended", ["cancelled", "done", "failed"])
@pytest.mark.parametrize("before", ["queued", "running"])
def test_a_batch_whose_job_was_ended_by_hand_has_a_true_status(world: World, before: str, ended: str) -> None:
    context = world.context()
    sync_id, other = queued(world, context, "a"), queued(world, context, "b")
    world.sql("UPDATE import_job SET state = 'cancelled' ORDER BY id DESC LIMIT %s", 1)
    world.sql("UPDATE ingest_batch SET status = 'ready' WHERE sync_id = %s", other)
    if before == "running":
        assert claim(context, "x/pid:1/0", str(ME)) is not None
    Rescuer(context, ME).run_once()
    assert world.status(sync_id) == ("importing" if before == "running" else "queued"), "it has an active job"
    world.sql("UPDATE import_job SET state = %s ORDER BY id LIMIT 1", ended)
    Rescuer(context, ME).run_once()
    assert (world.status(sync_id), world.status(other)) == ("ready", "ready")

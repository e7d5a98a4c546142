"""Jobs whose worker died, fell silent, or crashes repeatedly on one item; and the heartbeats that distinguish them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ingestd.errors import DatabaseUnavailable
from ingestd.model import Lease, Scope
from ingestd.pipeline import claim_pace
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Instance, host, start_time, this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.worker_pool import Heartbeat, WorkerPool, claim
from ingestd.store import batch, item
from support.refusals import refused_events
from support.wait import stop_event, until
from support.world import World, md5, sample

ME = this_instance()
OTHER_MACHINE = ME._replace(machine_id="0" * 32)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def queued(world: World, context: Context, *names: str) -> str:
    sync_id = world.put(*({"type": "photo", "hash": md5(name)} for name in names or ("a",)))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def running(world: World, context: Context, instance: str, *, silent_for: float = 0.0) -> str:
    """A job claimed by `instance`, whose last heartbeat is so many seconds old."""
    sync_id = queued(world, context)
    assert claim(context, "elsewhere/pid:7/0", instance) is not None
    world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL %s MICROSECOND", int(silent_for * 1e6))
    return sync_id


def state(world: World) -> str:
    return str(world.one("SELECT state FROM import_job ORDER BY id DESC LIMIT 1"))


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


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


# poison

KILLER = """
import os, sys
from ingestd.app import make_context
from ingestd.config import load
from ingestd.pipeline.worker_pool import claim
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.rescuer import Rescuer
from pathlib import Path
import threading

config, poison = sys.argv[1:]
real = chunk_writer.write

def write(tx, bundle, chunk, removed, again):
    result = real(tx, bundle, chunk, removed, again)
    if any(piece.entry.asset_hash == poison for piece in chunk.items):
        os._exit(86)
    return result

chunk_writer.write = write
context = make_context(load(Path(config)))
Rescuer(context, this_instance()).run_once()
lease = claim(context, f"test/pid:{os.getpid()}/0", str(this_instance()))
outcome = Run(context, lease, threading.Event()).execute()
context.mount.close()
context.db.close()
sys.exit(0 if outcome == "done" else 1)
"""


@pytest.mark.parametrize(("count", "poisoned", "unnamed"), [(5, 2, 1), (8, 6, 2)])
def test_an_item_that_kills_its_workers_is_given_up_and_the_rest_imported(
    world: World, count: int, poisoned: int, unnamed: int
) -> None:
    """`unnamed`: how many workers died with a whole chunk, before the first one that made no progress."""
    context = world.context()
    names = [str(number) for number in range(count)]
    sync_id = queued(world, context, *names)
    poison = md5(names[poisoned])
    config = world.root.with_name("config.toml")
    config.write_text(
        f'[mount]\nroot = "{world.root}"\nrequire_mount = false\n[worker]\nchunk_items = 5\n'
        f'[database]\nunix_socket = "{world.server.socket}"\n'
    )
    crash_count = 0
    while (status := subprocess.run([sys.executable, "-c", KILLER, str(config), poison], check=False).returncode) == 86:
        crash_count += 1
        assert state(world) == "running"
        assert crash_count < 10
    assert status == 0
    assert crash_count == unnamed + 3
    assert world.sql("SELECT asset_hash, crash_count FROM ingest_batch_item WHERE crash_count > 0") == [(poison, 3)]
    expected = {md5(name): "created" for name in names} | {poison: "failed:poison"}
    assert world.decisions(sync_id) == expected
    error = world.one("SELECT last_error FROM ingest_batch_item WHERE decision = 'failed'")
    assert error == "3 workers died while importing this item"
    assert world.status(sync_id) == "partial"
    assert state(world) == "done"
    recorded = kinds(world, sync_id)
    assert recorded.count("job_reset") == crash_count
    assert recorded.count("item_created") == count - 1
    assert recorded.count("item_failed") == 1
    assert world.one("SELECT COUNT(*) FROM asset WHERE hash = %s", poison) == 0


def test_a_crash_outside_of_any_item_counts_for_no_item(world: World) -> None:
    context = world.context()
    sync_id = queued(world, context, "a", "b")
    for _ in range(2):
        assert claim(context, "w", str(ME._replace(started="1"))) is not None
        assert Rescuer(context, ME).reset_dead() == 1
    assert world.sql("SELECT DISTINCT crash_count FROM ingest_batch_item") == [(0,)]
    assert world.one("SELECT isolate_items FROM import_job") == 1, "it will be looked at closely"
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}


def test_an_isolating_run_records_each_item_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    queued(world, context, "a", "b", "c")
    world.sql("UPDATE import_job SET isolate_items = 1")
    real, named = chunk_writer.write, []

    def views(tx: Any, bundle: Any, chunk: Any, removed: Any, again: bool) -> Any:
        named.append((world.one("SELECT current_item_id FROM import_job"), [piece.row.id for piece in chunk.items]))
        return real(tx, bundle, chunk, removed, again)

    monkeypatch.setattr(chunk_writer, "write", views)
    assert world.run_next(context) == "done"
    assert len(named) == 3
    assert all(pieces == [current] for current, pieces in named)
    assert world.one("SELECT current_item_id FROM import_job") is None


# the heart


def heart_of(world: World, *leases: Lease) -> tuple[Heartbeat, Context]:
    context = world.context(worker={"stale_after": 90.0, "heartbeat_interval": 7.0})
    return Heartbeat(context, lambda: leases, list), context


def age(world: World) -> float:
    """Seconds since the last heartbeat."""
    return float(world.one("SELECT TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1e6 FROM import_job"))


def silent_lease(world: World) -> Lease:
    """A lease whose heartbeat is 100 s old in the database."""
    context = world.context()
    queued(world, context)
    lease = claim(context, "w", str(ME))
    assert lease is not None
    world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 100 SECOND")
    return lease


def test_heartbeats_go_on_while_a_job_progresses_and_stop_without_progress(world: World) -> None:
    lease = silent_lease(world)
    heartbeat, context = heart_of(world, lease)
    lease.progress_at = time.monotonic() - 31
    assert heartbeat.run_once() == 7.0
    assert age(world) >= 100, "no progress for a third of stale_after: it does not beat"
    assert sample(context, "heartbeats_total", result="ok") == 0
    lease.progress_at = time.monotonic() - 29
    heartbeat.run_once()
    assert age(world) < 10
    assert sample(context, "heartbeats_total", result="ok") == 1


def test_no_heartbeat_for_a_job_that_was_taken_away(world: World) -> None:
    lease = silent_lease(world)
    lease.progress_at = time.monotonic()
    world.sql("UPDATE import_job SET claim_token = claim_token + 1")
    gone = Lease(10**9, lease.batch_id, 1, "w", Scope.ALL, progress_at=time.monotonic())
    heartbeat, context = heart_of(world, gone, lease)
    heartbeat.run_once()
    assert age(world) >= 100
    assert sample(context, "heartbeats_total", result="error") == 2


def test_bytes_read_are_progress_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow item: nothing is written, but what is read of it keeps the heart going."""
    context = world.context(mount={"verify": "sha256"})
    entry = {"type": "photo", "hash": md5("a"), "path": "photo/a",
             "files": [{"variant": "original", "path": "a.jpg", "bytes": 10}]}  # fmt: skip
    sync_id = world.put(entry)
    world.file("photo/a/source/data/photo.meaning.json", b'{"a": 1}')
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    lease = claim(context, "w", str(ME))
    assert lease is not None
    seen: list[float] = []
    real = chunk_writer.write

    def views(*args: Any) -> Any:
        seen.append(lease.progress_at)
        return real(*args)

    real_prepare = item.chunk

    def aging(*args: Any, **options: Any) -> Any:
        lease.progress_at = -1.0
        return real_prepare(*args, **options)

    monkeypatch.setattr(chunk_writer, "write", views)
    monkeypatch.setattr(item, "chunk", aging)
    assert Run(context, lease, stop_event()).execute() == "done"
    assert len(seen) == 1
    assert seen[0] > 0, "reading the item moved it"
    assert sample(context, "documents_read_bytes_total") > 0

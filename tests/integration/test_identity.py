"""Who is dead: cloned machine-ids, hidden processes, reused pids, and hosts whose name or id is unusable."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestd import doctor
from ingestd.model import RequestKind
from ingestd.pipeline import identity
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Fate, host, start_time, this_instance, worker_id
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.store import request
from support.wait import until
from support.world import World, md5

ME = this_instance()
CLONES = {
    "clone": ME._replace(boot_id="another"),
    "clone with the same pid": ME._replace(boot_id="another", started="1"),
    "container": ME._replace(pid_namespace="pid:[1]"),
    "container on a clone": ME._replace(boot_id="another", pid_namespace="pid:[1]", pid=1, started="7"),
    "kernel without a boot id": ME._replace(boot_id=identity.UNKNOWN, started="1"),
}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def running(world: World, context: Context, instance: str, *, silent_for: float) -> str:
    """A running job of `instance`, in the middle of its only item."""
    sync_id = world.put({"type": "photo", "hash": md5("a")})
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert claim(context, "elsewhere/pid:7/0", instance) is not None
    world.sql("UPDATE import_job SET current_item_id = (SELECT MAX(id) FROM ingest_batch_item)")
    silence(world, "import_job", silent_for)
    return sync_id


def silence(world: World, table: str, seconds: float) -> None:
    world.sql(f"UPDATE {table} SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL %s MICROSECOND", int(seconds * 1e6))


def state(world: World, table: str = "import_job") -> str:
    return str(world.one(f"SELECT state FROM {table} ORDER BY id DESC LIMIT 1"))


@pytest.mark.parametrize("kind", CLONES)
def test_a_fresh_heartbeat_outweighs_the_fingerprint(world: World, kind: str) -> None:
    context = world.context(worker={"heartbeat_interval": 10.0})
    running(world, context, str(CLONES[kind]), silent_for=25)
    for _ in range(3):
        Rescuer(context, ME).run_once()
    assert state(world) == "running"
    assert world.one("SELECT reset_count FROM import_job") == 0


@pytest.mark.parametrize("kind", CLONES)
def test_a_job_from_before_a_reboot_is_reset_when_its_heartbeat_stays_away(world: World, kind: str) -> None:
    context = world.context(worker={"heartbeat_interval": 10.0})
    running(world, context, str(CLONES[kind]), silent_for=25)
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    assert state(world) == "running"
    silence(world, "import_job", 31)
    rescuer.run_once()
    assert state(world) == "queued"
    assert world.one("SELECT SUM(crash_count) FROM ingest_batch_item") == 0, "an uncertain death blames no item"


def test_long_after_the_start_only_stale_jobs_are_reset(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context(worker={"heartbeat_interval": 10.0})
    rescuer = Rescuer(context, ME)
    rescuer.run_once()
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    rescuer.run_once()
    running(world, context, str(CLONES["clone"]), silent_for=890)
    rescuer.run_once()
    assert state(world) == "running"


@pytest.mark.parametrize("silent_for", [0, 890])
def test_a_certain_death_blames_the_item_at_once(world: World, silent_for: float) -> None:
    context = world.context()
    running(world, context, str(ME._replace(started="1")), silent_for=silent_for)
    Rescuer(context, ME).run_once()
    assert state(world) == "queued"
    assert world.one("SELECT SUM(crash_count) FROM ingest_batch_item") == 1


def test_silence_alone_blames_no_item(world: World) -> None:
    context = world.context()
    running(world, context, str(ME._replace(machine_id="0" * 32)), silent_for=901)
    Rescuer(context, ME).run_once()
    assert state(world) == "queued"
    assert world.one("SELECT SUM(crash_count) FROM ingest_batch_item") == 0


def test_a_hidden_process_is_not_dead(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """hidepid and ProtectProc= hide processes of other users in /proc; the kernel still knows them."""
    started = start_time(child.pid)
    assert started is not None
    text = str(ME._replace(pid=child.pid, started=started))
    monkeypatch.setattr(identity, "_stat", lambda _pid: None)
    assert ME.fate_of(text) is Fate.ALIVE
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert ME.fate_of(text) is Fate.DEAD


@pytest.mark.parametrize("pid", ["0", "-1", "", "²", "1" * 20, "9999999999", "1e3"])
def test_a_malformed_pid_is_not_dead(pid: str) -> None:
    fields = [ME.machine_id, ME.boot_id, ME.pid_namespace, pid, "1"]
    assert ME.fate_of("/".join(fields)) is Fate.ALIVE


@pytest.mark.parametrize(("silent_for", "after"), [(25, "running"), (31, "queued")])
def test_requests_of_clones_are_treated_like_jobs(world: World, silent_for: float, after: str) -> None:
    context = world.context(worker={"heartbeat_interval": 10.0})
    context.db.transaction(lambda tx: request.insert(tx, RequestKind.SCAN, "tester"))
    claimed = context.db.transaction(
        lambda tx: request.claim_next(
            tx, RequestKind.SCAN, "elsewhere", str(CLONES["clone"]), context.settings.worker.patience
        )
    )
    assert claimed is not None
    silence(world, "ingest_request", silent_for)
    Rescuer(context, ME).run_once()
    assert state(world, "ingest_request") == after


# names


class Named(NamedTuple):
    nodename: str


NAMES = {
    b"caf\xe9": "caf\\xe9",
    b"\xff\xfe": "\\xff\\xfe",
    "größe".encode(): "größe",
    b"a/b": "a\\x2fb",
    b"tab\there": "tab\\x09here",
    b"plain-1.example": "plain-1.example",
}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_host_can_claim(world: World, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    monkeypatch.setattr(os, "uname", lambda: Named(os.fsdecode(name)))
    monkeypatch.setattr("socket.gethostname", lambda: os.fsdecode(name))
    assert host() == NAMES[name]
    context = world.context()
    sync_id = world.put({"type": "photo", "hash": md5("a")})
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert claim(context, worker_id(0), str(this_instance())) is not None
    assert world.one("SELECT claimed_by FROM import_job") == f"{NAMES[name]}/pid:{os.getpid()}/0"


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"uninitialized\n", b"\xff\xfe\x00", "ü".encode() * 16, b"0" * 32, b"a" * 31, b"a/b"]
)
def test_an_unusable_machine_id_is_replaced_by_a_stable_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "machine-id"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(identity, "MACHINE_ID_FILES", (str(file),))
    made = this_instance()
    assert made == this_instance()
    assert made.machine_id.startswith("host-")
    assert made.fate_of(str(made._replace(started="1"))) is Fate.DEAD
    monkeypatch.setattr(os, "uname", lambda: Named("elsewhere"))
    assert this_instance().machine_id != made.machine_id


def test_a_valid_machine_id_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine-id").write_text(f"{'a1' * 16}\n")
    monkeypatch.setattr(identity, "MACHINE_ID_FILES", (str(tmp_path / "missing"), str(tmp_path / "machine-id")))
    assert this_instance().machine_id == "a1" * 16


def test_a_daemon_runs_on_a_host_without_a_usable_name(world: World, tmp_path: Path) -> None:
    """The real process, in a namespace whose host name is not UTF-8."""
    config = tmp_path / "ingestd.toml"
    config.write_text(
        f'[mount]\nroot = "{world.root}"\nrequire_mount = false\n[queue]\nauto = ["create"]\n'
        f'[database]\nunix_socket = "{world.server.socket}"\n[http]\nlisten = ""\n[metrics]\nlisten = ""\n'
    )
    sync_id = world.put({"type": "photo", "hash": md5("a")})
    script = f"printf 'caf\\351' > /proc/sys/kernel/hostname && exec {sys.executable} -m ingestd --config {config} run"
    process = subprocess.Popen(["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", script])
    try:
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE status = %s", "imported") or process.poll())
        assert world.status(sync_id) == "imported"
    finally:
        process.terminate()
        assert process.wait(30) == 0


# doctor


@pytest.mark.parametrize(
    ("instance", "worker", "ok"),
    [
        (ME, f"{host()}/pid:7/0", True),
        (ME._replace(boot_id="another"), f"{host()}/pid:7/0", False),
        (ME, "elsewhere/pid:7/0", False),
        (ME._replace(machine_id="a" * 32), "elsewhere/pid:7/0", True),
    ],
    ids=["this host", "another boot", "another name", "another machine"],
)
def test_doctor_warns_of_a_shared_machine_id(world: World, instance: identity.Instance, worker: str, ok: bool) -> None:
    context = world.context()
    running(world, context, str(instance), silent_for=1)
    world.sql("UPDATE import_job SET claimed_by = %s", worker)
    (finding,) = (found for found in doctor.examine(context) if found.check == "machine-id")
    assert finding.ok is ok
    silence(world, "import_job", 60)
    (finding,) = (found for found in doctor.examine(context) if found.check == "machine-id")
    assert finding.ok, "a host that has gone shares nothing"

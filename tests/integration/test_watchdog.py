"""Liveness: what a real daemon reports to systemd, and which of its parts count as silent, and when."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.errors import DatabaseUnavailable
from ingestd.notify import Notifier
from ingestd.pipeline import delivery, new_bundles, prefetch
from ingestd.pipeline.context import make_context
from ingestd.pipeline.importer import chunk_writer
from ingestd.service import Service
from support.process import Daemons, daemons_of
from support.wait import PATIENCE, until
from support.world import World, photo

AUTO = {"auto": ["create"]}
LIMIT = 1.5


class Systemd:
    """The socket that systemd would listen on, and all messages sent to it."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def wait_for(self, text: str, why: str = "") -> None:
        until(lambda: [line for line in self.listen() if text in line], what=lambda: f"for {text}: {self.heard} {why}")

    def pings(self) -> int:
        return self.listen().count("WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    yield made
    made.close()


# the real process


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made


def start(daemons: Daemons, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    return daemons.start(**more)


def test_a_daemon_says_when_it_is_ready_what_it_does_that_it_lives_and_that_it_stops(
    daemons: Daemons, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(daemons, systemd, monkeypatch)
    systemd.wait_for("READY=1", process.log)
    systemd.wait_for("STATUS=running 0, queued 0; database up; mount up")
    pings = systemd.pings()
    until(lambda: systemd.pings() > pings + 1, what="for pings")
    assert process.terminate(30) == 0
    systemd.wait_for("STOPPING=1")
    assert systemd.heard.count("READY=1") == 1


def test_a_daemon_without_database_and_mount_is_ready_and_says_what_it_waits_for(
    daemons: Daemons, systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = {"root": str(tmp_path / "absent")}
    process = start(daemons, systemd, monkeypatch, socket=str(tmp_path / "absent.sock"), mount=mount)
    systemd.wait_for("READY=1", process.log)
    (status,) = {line for line in systemd.heard if line.startswith("STATUS=")}
    assert "waiting for the database: the database at" in status
    assert "waiting for the mount: " in status
    pings = systemd.pings()
    until(lambda: systemd.pings() > pings + 1, what="for pings: a waiting daemon is alive")
    assert process.terminate(30) == 0


def test_a_missing_secret_is_an_error_of_the_configuration(daemons: Daemons) -> None:
    process = daemons.make("run", database={"unix_socket": "/nowhere", "password_file": "database-password"})
    daemons.started.append((process, None))
    process.start()
    assert process.wait(30) == 78
    assert "cannot read the secret file" in process.log


# what counts


@pytest.fixture
def daemon(world: World, systemd: Systemd) -> Iterator[Daemon]:
    worker = {"chunk_items": 5, "threads": 2}
    made = Daemon(world.settings(queue=AUTO, worker=worker), Notifier(systemd.address, 2 * LIMIT))
    yield made
    made.stop()


def service(daemon: Daemon, name: str) -> Service:
    (found,) = (each for each in (*daemon.services, *daemon.worker_pool.services) if each.name == name)
    return found


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def hanging(gate: threading.Event, step: Callable[..., Any]) -> Callable[..., Any]:
    def hang(*values: Any) -> Any:
        gate.wait(PATIENCE)
        return step(*values)

    return hang


def silent(daemon: Daemon, name: str) -> bool:
    return any(reason.startswith(name) and "has been silent" in reason for reason in daemon.health())


def demand_silence(daemon: Daemon, systemd: Systemd, name: str) -> None:
    """One part is silent; systemd hears no more pings until it goes on."""
    until(lambda: silent(daemon, name), what=f"for {name} to be silent")
    daemon._supervise()
    pings = systemd.pings()
    daemon._notifier._ping_due_at = 0.0
    daemon._supervise()
    assert systemd.pings() == pings


@pytest.mark.parametrize(
    ("name", "owner", "attribute"),
    [
        ("scanner", "scanner", "_scan_fully"),
        ("rescuer", "rescuer", "reset_dead"),
    ],
)
def test_a_part_that_hangs_ends_the_pings(
    daemon: Daemon, systemd: Systemd, gate: threading.Event, monkeypatch: pytest.MonkeyPatch,
    name: str, owner: str, attribute: str,
) -> None:  # fmt: skip
    part = getattr(daemon, owner)
    monkeypatch.setattr(part, attribute, hanging(gate, getattr(part, attribute)))
    daemon.start()
    demand_silence(daemon, systemd, name)
    gate.set()
    until(lambda: not daemon.health(), what="for it to go on")
    pings = systemd.pings()
    until(lambda: daemon._supervise() or systemd.pings() > pings, what="for pings")  # type: ignore[func-returns-value]


def test_worker_that_hangs_in_its_job_ends_the_pings(
    world: World, daemon: Daemon, systemd: Systemd, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_writer, "write_library", hanging(gate, chunk_writer.write_library))
    sync_id = world.put(photo("a"))
    daemon.start()
    until(lambda: daemon.worker_pool.leases, what="for the job")
    until(lambda: silent(daemon, "worker-"), what="for the worker to be silent")
    gate.set()
    until(lambda: world.status(sync_id) == "imported")
    until(lambda: not daemon.health(), what="for it to go on")


def test_idle_service_counts_as_alive(daemon: Daemon) -> None:
    daemon.start()
    worker_pool = daemon.worker_pool.services
    ticked = [each.ticked_at for each in worker_pool]
    until(lambda: all(each.ticked_at > before for each, before in zip(worker_pool, ticked, strict=True)))
    last = max(each.ticked_at for each in worker_pool)
    until(lambda: service(daemon, "poller").ticked_at > last + 2 * LIMIT, what="for time to pass")
    assert not silent(daemon, "worker-")


def test_a_scan_shows_that_it_goes_on_with_every_bundle(
    world: World, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        world.put(photo(str(number)))
    scan, ticks, record = service(daemon, "scanner"), [], delivery.record
    monkeypatch.setattr(new_bundles, "record", lambda *_values, **_options: {})  # one of them is refused

    def noting(*values: Any, **options: Any) -> Any:
        ticks.append(scan.ticked_at)
        return record(*values, **options)

    monkeypatch.setattr(delivery, "record", noting)
    daemon.scanner.scan()
    assert len(set(ticks)) == 1, "outside of the service it does nothing"
    ticks.clear()
    daemon.scanner = daemon.scanner.__class__(daemon.context)
    scan._step = daemon.scanner.run_once
    world.sql("DELETE FROM ingest_batch")
    daemon.start()
    until(lambda: len(ticks) >= 4, what="for the scan")
    assert len(set(ticks[:4])) == 4


def test_reading_ahead_shows_that_its_worker_is_alive(
    world: World, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the thread that reads ahead inherits no context."""
    ticked: set[tuple[str, str]] = set()
    tick = Service.tick

    def noting(service: Service) -> None:
        tick(service)
        ticked.add((service.name.rpartition("-")[0], threading.current_thread().name.rpartition("_")[0]))

    monkeypatch.setattr(prefetch, "copy_context", Context)
    monkeypatch.setattr(Service, "tick", noting)
    sync_id = world.put(*(photo(str(number)) for number in range(20)))
    daemon.start()
    until(lambda: sync_id and world.sql("SELECT 1 FROM ingest_batch WHERE status = 'imported'"))
    assert ("worker", "prefetch") in ticked


def test_every_try_of_a_database_that_is_away_is_a_sign_of_life(world: World) -> None:
    settings = world.settings()
    # By TCP: for a socket file without a listener, the driver leaves its own end open.
    away = settings.database.model_copy(update={"unix_socket": "", "port": 1})
    context = make_context(settings.model_copy(update={"database": away}))
    ticks: list[float] = []

    def keep_waiting() -> bool:
        ticks.append(made.ticked_at)
        return len(set(ticks)) < 3

    def step() -> float:
        with pytest.raises(DatabaseUnavailable):
            context.db.transaction(lambda tx: tx, keep_waiting=keep_waiting)
        made.stop()
        return 3600.0

    made = Service("worker", step)
    made.start()
    assert made.join(PATIENCE)
    assert len(set(ticks)) >= 3

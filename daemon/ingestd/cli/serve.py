"""The commands run, migrate and doctor."""

import faulthandler
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import click
import structlog

from ingestd import allocator, doctor, logs, signals
from ingestd.cli.output import echo, json_option, print_json, shown
from ingestd.cli.session import Session
from ingestd.config import Settings, exposed_secrets
from ingestd.embedded import EmbeddedMariaDB
from ingestd.notify import Notifier
from ingestd.service import Countdown
from ingestd.store.migrate import migrate as apply_migrations

if TYPE_CHECKING:
    from ingestd.app import Daemon

log = structlog.get_logger()

T = TypeVar("T")

POLL_SECONDS = 0.05


@click.command()
@click.option("--embedded", type=click.Path(file_okay=False, path_type=Path), help="Run a private MariaDB kept in DIR.")
@click.pass_obj
def run(session: Session, embedded: Path | None) -> None:
    """Runs the daemon in the foreground."""
    signals.exit_when_stopped()
    allocator.give_memory_back()
    settings = session.settings
    logs.configure(settings.log)
    for file in exposed_secrets(settings):
        log.warning("secret_exposed", file=str(file), reason="other users can read or replace it", remedy="chmod 600")
    notifier = Notifier.from_environment(os.environ)
    if notifier.watchdog is not None:
        # The watchdog ends a hanging daemon with SIGABRT; the journal then shows the stack of every thread.
        faulthandler.enable()
    if embedded is None:
        # Fail now if the password is unreadable: a configuration error, which a restart does not fix.
        settings.database.password()
        _daemon(settings, notifier).run()
    else:
        _run_embedded(settings, notifier, embedded)
    _leave(0.05 * settings.worker.stop_seconds)


def _run_embedded(settings: Settings, notifier: Notifier, folder: Path) -> None:
    received = signals.Signals()
    server = EmbeddedMariaDB(folder, name=settings.database.name)
    server.stop_seconds = 0.8 * settings.worker.stop_seconds
    try:
        prepared = Background(partial(_prepared, settings, server)).result(received)
        if prepared is None:
            return
        daemon = _daemon(prepared, notifier)
        daemon.run(received)
        server.stop_seconds = daemon.seconds_to_stop
    finally:
        server.abort()


def _daemon(settings: Settings, notifier: Notifier) -> "Daemon":
    """Its parts are loaded here: they take half of the time that other commands need in all."""
    from ingestd.app import Daemon

    made = Daemon(settings, notifier)
    allocator.spare_what_exists()
    return made


class Background(threading.Thread, Generic[T]):
    """Work that the main thread need not wait for, because a signal may come first."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="preparation", daemon=True)
        self._work = work
        self._outcome: T | Exception | None = None

    def run(self) -> None:
        try:
            self._outcome = self._work()
        except Exception as error:  # noqa: BLE001  raised by `result`
            self._outcome = error

    def result(self, received: signals.Signals) -> T | None:
        """What the work returns; None if the daemon is to be stopped before that. Raises what the work raises."""
        self.start()
        while self.is_alive():
            self.join(POLL_SECONDS)
            if received.stop_within(0.0):
                return None
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def _leave(seconds: float) -> None:
    """Ends the process, also when threads hang, for which Python itself would wait without end.

    Nothing is lost: all that matters is in the database, and was committed or rolled back.
    """
    signals.ignore_all()
    countdown = Countdown(seconds)
    waited_for = [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()
    ]
    for thread in waited_for:
        thread.join(countdown.left())
    hanging = [thread.name for thread in waited_for if thread.is_alive()]
    if hanging:
        log.warning("threads_left_behind", threads=hanging)
    logs.drain(seconds)
    os._exit(0)


def _prepared(settings: Settings, server: EmbeddedMariaDB) -> Settings:
    """Starts and migrates the private server, and points the settings at it."""
    server.start()
    apply_migrations(settings.model_copy(update={"database": server.owner_settings()}), is_alone=True)
    server.grant()
    hint = f"to use it with other commands, set INGESTD_DATABASE__UNIX_SOCKET={server.socket}"
    echo(f"private MariaDB in {server.folder}; {hint}")
    return settings.model_copy(update={"database": server.settings()})


@click.command()
@json_option
@click.pass_obj
def migrate(session: Session, as_json: bool) -> None:
    """Brings the schema up to date; prints the applied migrations."""
    applied = apply_migrations(session.settings)
    if as_json:
        print_json(applied)
        return
    for name in applied:
        click.echo(name)
    if not applied:
        echo("the schema is up to date")


@click.command(name="doctor")
@json_option
@click.pass_context
def examine(context: click.Context, as_json: bool) -> None:
    """Checks configuration, database, rights, indexes, packet size, mount and clock."""
    findings = doctor.examine(context.obj.context)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _print_finding(finding)
    context.exit(0 if all(finding.ok for finding in findings) else 1)


def _print_finding(finding: doctor.Finding) -> None:
    click.echo(shown(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check}: {finding.detail}"))
    if finding.remedy and not finding.ok:
        click.echo(f"      {shown(finding.remedy)}")


COMMANDS = (run, migrate, examine)

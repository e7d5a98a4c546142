"""The commands run, migrate and doctor."""

import faulthandler
import os
import threading
from pathlib import Path

import click
import structlog

from ingestd import doctor, logs, signals
from ingestd.app import Daemon
from ingestd.cli.output import echo, json_option, print_json, shown
from ingestd.cli.session import Session
from ingestd.config import Settings, exposed_secrets
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.notify import Notifier
from ingestd.service import Countdown
from ingestd.store.migrate import migrate as apply_migrations

log = structlog.get_logger()


@click.command()
@click.option("--embedded", type=click.Path(file_okay=False, path_type=Path), help="Run a private MariaDB kept in DIR.")
@click.pass_obj
def run(session: Session, embedded: Path | None) -> None:
    """Runs the daemon in the foreground."""
    signals.exit_when_stopped()
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
        Daemon(settings, notifier).run()
    else:
        _run_embedded(settings, notifier, embedded)
    _leave(0.05 * settings.worker.stop_seconds)


def _run_embedded(settings: Settings, notifier: Notifier, folder: Path) -> None:
    with running(EmbeddedMariaDB(folder, name=settings.database.name)) as server:
        daemon = Daemon(_prepared(settings, server), notifier)
        daemon.run()
        server.stop_seconds = daemon.seconds_to_stop


def _leave(seconds: float) -> None:
    """Ends the process, also when threads hang, for which Python itself would wait without end."""
    signals.ignore_all()
    countdown = Countdown(seconds)
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    waited_for = [thread for thread in others if not thread.daemon]
    for thread in waited_for:
        thread.join(countdown.left())
    hanging = [thread.name for thread in waited_for if thread.is_alive()]
    if hanging:
        log.warning("threads_left_behind", threads=hanging)
    if not logs.drain(seconds) or hanging:
        # Nothing is lost: all that matters is in the database, and was committed or rolled back.
        os._exit(0)


def _prepared(settings: Settings, server: EmbeddedMariaDB) -> Settings:
    """Migrates the private server and points the settings at it."""
    apply_migrations(settings.model_copy(update={"database": server.owner_settings()}))
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

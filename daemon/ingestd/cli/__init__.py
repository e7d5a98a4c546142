"""The commands: parse, call, print. Data goes to standard output, everything else to standard error.

Little is imported until a command runs: the list of commands must be there at once.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click

from ingestd import __version__
from ingestd.errors import IngestdError


class Listed(NamedTuple):
    """A command in the list of commands: the module that has it, and its summary, which that module repeats."""

    module: str
    summary: str


COMMANDS = {
    "batches": Listed("look", "Lists batches, newest first."),
    "bundle": Listed("bundle", "Makes bundles for trials, and checks manifests offline."),
    "cancel": Listed("operate", "Cancels the waiting or queued job of a batch, or the retry of its failed job."),
    "doctor": Listed("serve", "Checks configuration, database, rights, indexes, packet size, mount and clock."),
    "events": Listed("ledger", "Lists the ledger, of all batches or of one, newest last."),
    "jobs": Listed("look", "Lists running, queued and waiting jobs, then recently finished ones."),
    "migrate": Listed("serve", "Brings the schema up to date; prints the applied migrations."),
    "mount": Listed("mount", "Looks after what is mounted at mount.root on a host."),
    "pause": Listed("operate", "Stops claiming on every host."),
    "preflight": Listed("operate", "Validates a batch and prints the plan; writes nothing into the library."),
    "queue": Listed(
        "operate", "Queues batches for import; a new priority for a job not yet running re-prioritises it."
    ),
    "resume": Listed("operate", "Resumes claiming on every host."),
    "run": Listed("serve", "Runs the daemon in the foreground."),
    "scan": Listed("operate", "Runs one full scan and prints the new and changed batches."),
    "status": Listed("look", "Shows the state of the queue, or of one batch."),
}


class Commands(click.Group):
    """Loads the module of the command that is called, and no other: a command is ready in half the time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        return sorted(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        commands: tuple[click.Command, ...] = import_module(f"ingestd.cli.{COMMANDS[cmd_name].module}").COMMANDS
        return next(command for command in commands if command.name == cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS)
            if not close or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(close)}?", error.ctx) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
@click.version_option(__version__, prog_name="ingestd")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Turns cloud-sync hand-over bundles into rows of a media library, exactly once."""
    import signal

    from ingestd import logs
    from ingestd.cli.session import Session
    from ingestd.config import LogSettings

    logs.configure(LogSettings(level="warning"), attended=True)
    if context.invoked_subcommand != "run":
        signal.signal(signal.SIGINT, signal.default_int_handler)
    context.obj = Session(config)
    context.call_on_close(context.obj.close)


def main() -> None:
    """Runs one command; an error of ours becomes a sentence and an exit status."""
    try:
        from ingestd.cli import stdout

        stdout.prepare()
        status = cli.main(standalone_mode=False)
    except IngestdError as error:
        _say(str(error))
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _say("interrupted")
        sys.exit(130)
    except (OSError, RuntimeError, MemoryError) as error:
        from ingestd.shortage import memory_shortage, shortage_of

        shortage = shortage_of(error) or memory_shortage(error)
        if shortage is None:
            raise
        _say(f"{shortage}; look at the limits of this process and of the service: ulimit -a, TasksMax=, MemoryMax=")
        sys.exit(shortage.exit_status)
    sys.exit(status if isinstance(status, int) else 0)


def _say(text: str) -> None:
    from ingestd.cli.output import echo

    echo(text)

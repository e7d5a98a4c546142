"""The commands: parse, call, print. Data goes to standard output, everything else to standard error."""

import signal
import sys
from importlib import import_module
from pathlib import Path

import click

from ingestd import __version__, logs
from ingestd.cli import stdout
from ingestd.cli.output import echo
from ingestd.cli.session import Session
from ingestd.config import LogSettings
from ingestd.errors import IngestdError
from ingestd.shortage import memory_shortage, shortage_of

MODULES = {
    "serve": ("run", "migrate", "doctor"),
    "operate": ("scan", "preflight", "queue", "cancel", "pause", "resume"),
    "look": ("status", "batches", "jobs"),
    "ledger": ("events",),
    "bundle": ("bundle",),
    "mount": ("mount",),
}
"""commands by the module that has them"""


class Commands(click.Group):
    """Loads the module of the command that is called, and no other: a command is ready in half the time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        return sorted(name for names in MODULES.values() for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for module, names in MODULES.items():
            if cmd_name in names:
                commands: tuple[click.Command, ...] = import_module(f"ingestd.cli.{module}").COMMANDS
                return next(command for command in commands if command.name == cmd_name)
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
@click.version_option(__version__, prog_name="ingestd")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Turns cloud-sync hand-over bundles into rows of a media library, exactly once."""
    if context.invoked_subcommand != "run":
        signal.signal(signal.SIGINT, signal.default_int_handler)
    context.obj = Session(config)
    context.call_on_close(context.obj.close)


def main() -> None:
    """Runs one command; an error of ours becomes a sentence and an exit status."""
    try:
        logs.configure(LogSettings(level="warning"), attended=True)
        stdout.prepare()
        status = cli.main(standalone_mode=False)
    except IngestdError as error:
        echo(str(error))
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        echo("interrupted")
        sys.exit(130)
    except (OSError, RuntimeError, MemoryError) as error:
        shortage = shortage_of(error) or memory_shortage(error)
        if shortage is None:
            raise
        echo(f"{shortage}; look at the limits of this process and of the service: ulimit -a, TasksMax=, MemoryMax=")
        sys.exit(shortage.exit_status)
    sys.exit(status if isinstance(status, int) else 0)

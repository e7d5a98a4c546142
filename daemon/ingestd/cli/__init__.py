"""The commands: parse, call, print. Data goes to standard output, everything else to standard error."""

import signal
import sys
from pathlib import Path

import click

from ingestd import __version__, logs
from ingestd.cli import look, operate, serve, stdout
from ingestd.cli.bundle import bundle
from ingestd.cli.mount import mount
from ingestd.cli.output import echo
from ingestd.cli.session import Session
from ingestd.config import LogSettings
from ingestd.errors import IngestdError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
@click.version_option(__version__, prog_name="ingestd")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Turns cloud-sync hand-over bundles into rows of a media library, exactly once."""
    if context.invoked_subcommand != "run":
        signal.signal(signal.SIGINT, signal.default_int_handler)
    context.obj = Session(config)
    context.call_on_close(context.obj.close)


for command in (*serve.COMMANDS, *operate.COMMANDS, *look.COMMANDS, bundle, mount):
    cli.add_command(command)


def main() -> None:
    """Runs one command; an error of ours becomes a sentence and an exit status."""
    logs.configure(LogSettings(level="warning"), attended=True)
    stdout.prepare()
    try:
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
    sys.exit(status if isinstance(status, int) else 0)

"""The command mount accept."""

import click

from ingestd.cli.operate import Operator, operated
from ingestd.cli.output import print_facts, print_json


@click.group()
def mount() -> None:
    """Looks after what is mounted at mount.root on a host."""


@mount.command()
@operated
def accept(operator: Operator, as_json: bool) -> None:
    """Accepts the file system that is mounted now in place of the expected one, on this host or that of --url."""
    facts = operator.accept_mount()
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


COMMANDS = (mount,)

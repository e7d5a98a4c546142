"""The command mount accept."""

import click

from ingestd.cli.output import json_option, print_facts, print_json
from ingestd.cli.session import Session


@click.group()
def mount() -> None:
    """Looks after what is mounted at mount.root on this host."""


@mount.command()
@json_option
@click.pass_obj
def accept(session: Session, as_json: bool) -> None:
    """Accepts the file system that is mounted now in place of the expected one."""
    before, found = session.context.gate.accept(session.requested_by)
    facts = {"from": None if before is None else str(before), "to": str(found)}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)

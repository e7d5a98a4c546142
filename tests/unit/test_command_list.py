"""The list of commands: complete, true, and there at once."""

import subprocess
import sys
from importlib import import_module

import click
import click.testing
import pytest

from ingestd import cli

HEAVY = ("pydantic", "structlog", "pymysql", "orjson", "msgspec")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_is_where_the_list_says_and_does_what_it_says(name: str) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    assert command.get_short_help_str(1000) == cli.COMMANDS[name].summary


def test_no_command_is_left_out() -> None:
    modules = {listed.module for listed in cli.COMMANDS.values()}
    found = [command.name for module in modules for command in import_module(f"ingestd.cli.{module}").COMMANDS]
    assert sorted(found) == sorted(cli.COMMANDS)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_list_is_there_without_what_only_commands_need(option: str) -> None:
    code = (
        "import sys; from ingestd.cli import cli\n"
        f"cli.main([{option!r}], standalone_mode=False); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in HEAVY if f"'{name}'" in done.stderr] == []
    assert done.stdout


def test_summaries_are_not_cut() -> None:
    shown = " ".join(click.testing.CliRunner().invoke(cli.cli, ["--help"]).output.split())
    assert [name for name, listed in cli.COMMANDS.items() if listed.summary not in shown] == []


@pytest.mark.parametrize(
    ("typed", "said"), [("statsu", "Did you mean status?"), ("event", "Did you mean events?"), ("zzz", "'zzz'.")]
)
def test_a_misspelt_command(typed: str, said: str) -> None:
    result = click.testing.CliRunner().invoke(cli.cli, [typed])
    assert (result.exit_code, result.output.strip().endswith(said)) == (2, True), result.output

"""The documentation is true: its links, commands, make targets and settings exist."""

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ingestd.cli import cli
from ingestd.config import Settings

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("", "docs", "docs/decisions", "contrib", "benchmarks", "tests")
DOCUMENTS = sorted(path for folder in FOLDERS for path in (PROJECT / folder).glob("*.md"))
COMMANDS = PROJECT / "docs" / "commands.md"
CONFIGURATION = PROJECT / "docs" / "configuration.md"

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|tmp|Users)/")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))


def text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def code(document: Path) -> Iterator[str]:
    """Every line of code in a document, from blocks and spans."""
    for block in FENCE.findall(text(document)):
        yield from block.splitlines()[1:-1]
    yield from SPAN.findall(FENCE.sub("", text(document)))


def anchors(document: Path) -> set[str]:
    """The anchors of the headings of a document."""
    headings = HEADING.findall(FENCE.sub("", text(document)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_main_documents_exist() -> None:
    names = {str(path.relative_to(PROJECT)) for path in DOCUMENTS}
    wanted = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/bundle-format.md"}
    assert wanted | {"docs/library.md"} <= names


@every_document
def test_links_lead_to_files_and_headings_of_the_project(document: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text(document))):
        assert "://" not in link, f"{link} leaves the project"
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.is_relative_to(PROJECT), f"{link} leaves the project"
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading for #{anchor}"


@every_document
def test_documents_name_no_local_paths(document: Path) -> None:
    assert not MACHINE_PATH.findall(text(document))


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match[1] for line in code(document) if (match := re.match(r"(?:\$ )?(?:[A-Z]+=\S+ )?make ([a-z]+)", line))}
    assert named <= targets


@every_document
def test_commands_and_their_options_exist(document: Path) -> None:
    for line in code(document):
        if match := re.match(r"(?:\$ )?(?:\S*/)?ingestd ((?:--config \S+ )?)([a-z].*)", line):
            command, rest = find_command(match[2].split())
            known = {option for parameter in command.params for option in (*parameter.opts, "--help")}
            named = set(re.findall(r"--[a-z-]+", " ".join(rest)))
            assert named <= known, line


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command at the start of `words`, and the remaining words."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        assert words, f"{command.name} is a group and needs a command"
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found, f"{name} is not a command"
        command = found
    return command, words


def all_commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def test_every_command_is_documented() -> None:
    shown = "\n".join(code(COMMANDS))
    assert [name for name, _ in all_commands(cli) if f"ingestd {name}" not in shown] == []


def test_documented_options_exist() -> None:
    parameters = [*cli.params, *(parameter for _, command in all_commands(cli) for parameter in command.params)]
    known = {option for parameter in parameters for option in parameter.opts}
    assert {span.split()[0] for span in SPAN.findall(text(COMMANDS)) if span.startswith("--")} <= known


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `([^|]*)` \|", text(CONFIGURATION), re.MULTILINE)
    documented = {key: json.loads(default) for key, default in rows}
    assert len(documented) == len(rows), "a setting is documented twice"
    assert documented == defaults()


def defaults() -> dict[str, Any]:
    sections = Settings.model_construct().model_dump(mode="json")
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def test_architecture_lists_the_floors_of_the_import_linter() -> None:
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg", encoding="utf-8")
    layers = setup["importlinter:contract:layers"]["layers"].strip().splitlines()
    rows = re.findall(r"^\| (`\w+`(?: · `\w+`)*) \|", text(PROJECT / "ARCHITECTURE.md"), re.MULTILINE)
    documented = [set(re.findall(r"\w+", row)) for row in rows]
    assert documented[: len(layers)] == [set(re.findall(r"\w+", layer)) for layer in layers]


def test_architecture_names_every_module() -> None:
    package = PROJECT / "daemon" / "ingestd"
    modules = {path.stem for path in package.rglob("*.py") if not path.stem.startswith("__")}
    named = {word for span in SPAN.findall(text(PROJECT / "ARCHITECTURE.md")) for word in re.findall(r"\w+", span)}
    assert modules - named == set()


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (PROJECT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    for name in names:
        heading = HEADING.search(text(PROJECT / "docs" / "decisions" / name))
        assert heading is not None
        assert heading[1].startswith(f"{int(name[:4])}. ")


NAMED_TEST = re.compile(r"`(\w+(?:/\w+)*/test_\w+\.py)`( \(\*soak\*)?")


def test_the_tests_of_each_promise_exist() -> None:
    """Those that are said to run larger in `make soak` do."""
    promises = text(PROJECT / "docs" / "reliability.md")
    rows = [row for row in promises.splitlines() if row.startswith("| ") and not row.startswith("| promise ")]
    assert len(rows) > 40
    for row in rows:
        named = NAMED_TEST.findall(row.rpartition(" | ")[2])
        assert named, f"no test shows: {row}"
        for name, is_larger in named:
            source = text(PROJECT / "tests" / name)
            assert bool(is_larger) is ("pytest.mark.soak" in source), f"{name}: (*soak*) is wrong or missing"

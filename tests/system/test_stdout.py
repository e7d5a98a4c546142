"""Commands whose output cannot be written: one sentence, status 1, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.process import Process, daemons_of
from support.scale import scaled
from support.wait import PATIENCE
from support.world import World, photo

COMMANDS = (
    ("--help",), ("status", "--json"), ("queue", "{sync_id}"), ("doctor",),
    ("--version",), ("status",), ("batches", "--json"), ("jobs", "--json"), ("scan",),
    ("preflight", "{sync_id}", "--json"), ("bundle", "check", "--help"),
)  # fmt: skip
CASES = [
    (command, redirection, problem)
    for command in COMMANDS[: scaled(3, len(COMMANDS))]
    for redirection, problem in (("> /dev/full", "No space left"), (">&-", "Bad file descriptor"))
]


@pytest.fixture
def sync_id(world: World) -> str:
    return world.put(photo("größe"))


def configured(world: World, folder: Path, *command: str) -> list[str]:
    with daemons_of(world, folder) as made:
        return made.make(*command, database={"unix_socket": world.server.socket, "user": "ingestd"}).arguments


def run(arguments: list[str], redirection: str, **environment: str) -> tuple[int, str]:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "ingestd", *arguments]
    done = subprocess.run(
        command, stderr=subprocess.PIPE, env={**os.environ, **environment}, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.soak
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("command", "redirection", "problem"), CASES)
def test_output_that_cannot_be_written(
    world: World,
    tmp_path: Path,
    sync_id: str,
    command: tuple[str, ...],
    redirection: str,
    problem: str,
    unbuffered: str,
) -> None:
    if "{sync_id}" in command:
        world.scan(world.context())
    arguments = configured(world, tmp_path, *(part.format(sync_id=sync_id) for part in command))
    status, error = run(arguments, redirection, PYTHONUNBUFFERED=unbuffered)
    assert (status, error.count("\n")) == (1, 1), error
    assert error.startswith("ingestd: standard output cannot be written: ")
    assert problem in error


def test_commands_without_output_need_none(world: World, tmp_path: Path) -> None:
    for name, message in (("pause", "paused"), ("resume", "resumed")):
        assert run(configured(world, tmp_path, name), ">&-") == (0, f"ingestd: {message}\n")


def test_a_reader_that_has_enough_is_not_an_error_to_report(world: World, tmp_path: Path) -> None:
    arguments = configured(world, tmp_path, "status", "--json")
    status, error = run(arguments, "| head -c 0")
    assert (status, error) == (0, ""), "the status is that of head"


def test_characters_that_the_encoding_lacks_are_escaped(world: World, tmp_path: Path) -> None:
    status, error = run(configured(world, tmp_path, "queue", "--help"), "> /dev/null", PYTHONIOENCODING="ascii")
    assert (status, error) == (0, "")


def test_the_daemon_runs_without_standard_output(world: World, tmp_path: Path) -> None:
    arguments = configured(world, tmp_path, "run")
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "ingestd", *arguments]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as daemon:
        process = Process(arguments, tmp_path / "log", _popen=daemon)
        process.wait_until_started()
        assert process.terminate(PATIENCE) == 0

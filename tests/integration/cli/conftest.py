"""Fixtures for command tests: an environment that points commands at the test world, and a caller."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import config
from ingestd.cli import serve
from ingestd.pipeline.context import Context
from ingestd.signals import HANDLED
from support.command import Run, commands
from support.faulty_fuse import FaultyFuse, faulty_fuse
from support.world import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The driver leaves the socket of a failed connection to the garbage collector.
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("INGESTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none.toml")


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set handlers for the rest of their process, and `run` ends it, which here is that of the tests."""
    monkeypatch.setattr(serve, "_leave", lambda _seconds: None)
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def configured(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, with an environment that configures commands to use it."""
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(world.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "false")
    return world


@pytest.fixture
def faulty(configured: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyFuse]:
    """The folder of the world, mounted with the faults that a test sets; commands read from there."""
    with faulty_fuse(configured.root, tmp_path / "mnt") as made:
        monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(made.point))
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def context(configured: World) -> Context:
    """A context of the world, for work that precedes a command."""
    return configured.context()

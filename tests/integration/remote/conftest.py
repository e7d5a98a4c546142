"""Fixtures: a daemon, and the options by which commands on another host reach it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import config
from ingestd.app import Daemon
from ingestd.pipeline import pausing
from support.command import Run, commands
from support.elsewhere import HOST, TOKEN, address, http_section
from support.proxy import reverse_proxy
from support.watching import QUIET, watching
from support.world import World


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("INGESTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none.toml")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:9")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that scans only on request. Its queue is paused, so jobs keep their state."""
    pausing.pause(world.context(), "tester", None)
    with watching(world.settings(http=http_section(tmp_path), mount=QUIET, queue={"removal_limit": 1})) as made:
        yield made


@pytest.fixture
def elsewhere(daemon: Daemon, token: Path) -> Iterator[list[str]]:
    """Command options that reach the daemon through a reverse proxy with a path prefix."""
    with reverse_proxy(address(daemon), HOST) as proxy:
        yield ["--url", f"{proxy.url}/", "--token-file", str(token)]

"""Fixtures: a daemon, and the options by which commands on another host reach it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import config
from ingestd.app import Daemon
from ingestd.pipeline import queueing
from support.command import Run, commands
from support.elsewhere import HOST, address
from support.kept_helpers import keep_helpers
from support.proxy import reverse_proxy
from support.watching import until_watching
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
    file.write_text("a-token-of-olga-1\n")
    return file


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that scans only on request. Its queue is paused, so jobs keep their state."""
    tokens = tmp_path / "tokens"
    tokens.write_text("olga:operator:a-token-of-olga-1\nvictor:viewer:a-token-of-victor\n")
    http = {"listen": "127.0.0.1:0", "tokens_file": str(tokens), "allowed_hosts": [HOST]}
    mount = {"rescan_interval": 1000.0, "watch": "poll", "poll_interval": 1000.0}
    made = Daemon(world.settings(http=http, mount=mount, queue={"removal_limit": 1}))
    keep_helpers(made.context)
    queueing.pause(made.context, "tester", None)
    made.start()
    try:
        until_watching(made)
        yield made
    finally:
        made.stop()


@pytest.fixture
def elsewhere(daemon: Daemon, token: Path) -> Iterator[list[str]]:
    """Command options that reach the daemon through a reverse proxy with a path prefix."""
    with reverse_proxy(address(daemon), HOST) as proxy:
        yield ["--url", f"{proxy.url}/", "--token-file", str(token)]

"""What tests of daemons on other hosts share: names, tokens, and how local commands reach the same database."""

from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from support.world import World

HOST = "ingest.example"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TOKEN = "a-token-of-olga-1"
HOSTILE = "a\x1b[31mb\nc\x9be\u202ef"


def http_section(folder: Path) -> dict[str, Any]:
    """Settings of a listener with an operator, whose token is TOKEN, and a viewer."""
    tokens = folder / "tokens"
    tokens.write_text(f"olga:operator:{TOKEN}\nvictor:viewer:a-token-of-victor\n")
    return {"listen": "127.0.0.1:0", "tokens_file": str(tokens), "allowed_hosts": [HOST]}


def address(daemon: Daemon) -> str:
    assert daemon.http is not None
    return daemon.http.address


def reach(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configures local commands, by environment variables, to use the test's database and mount."""
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(world.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "false")
    monkeypatch.setenv("INGESTD_QUEUE__REMOVAL_LIMIT", "1")

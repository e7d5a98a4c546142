"""Fixtures: the operator's pages, and somebody who may act."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.store.connection import Connection
from support.faulty_fuse import FaultyFuse, faulty_fuse
from support.groups import noted
from support.scanning import Clock, set_clock
from support.web_client import Visitor, WebClient, serving, settings_of
from support.world import World


@pytest.fixture
def web_client(world: World, tmp_path: Path) -> Iterator[WebClient]:
    with serving(world, settings_of(world, tmp_path)) as made:
        yield made


@pytest.fixture
def olivia(web_client: WebClient) -> Visitor:
    return web_client.visitor("the-operator-token")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return set_clock(monkeypatch)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many of the jobs that were claimed together each group has ended."""
    return noted(monkeypatch)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the server."""
    sent: list[str] = []
    real = Connection.query

    def query(self: Connection, sql: str | bytes, *more: Any) -> int:
        sent.append(sql if isinstance(sql, str) else sql.decode())
        return real(self, sql, *more)

    monkeypatch.setattr(Connection, "query", query)
    return sent


@pytest.fixture
def faulty(world: World, tmp_path: Path) -> Iterator[FaultyFuse]:
    """The folder of the world, mounted with the faults that a test sets."""
    with faulty_fuse(world.root, tmp_path / "mnt") as made:
        yield made
        made.clear()

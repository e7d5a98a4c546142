"""Fixture: the daemons of one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.faulty_fuse import FaultyFuse, faulty_fuse
from support.process import Daemons, daemons_of
from support.scanning import Clock, set_clock
from support.world import World


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made


@pytest.fixture
def faulty(world: World, tmp_path: Path) -> Iterator[FaultyFuse]:
    """The folder of the world, mounted with the faults that a test sets."""
    with faulty_fuse(world.root, tmp_path / "mnt") as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return set_clock(monkeypatch)

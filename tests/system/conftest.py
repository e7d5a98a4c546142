"""Fixture: the daemons of one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.process import Daemons, daemons_of
from support.world import World


@pytest.fixture
def daemons(world: World, tmp_path: Path) -> Iterator[Daemons]:
    with daemons_of(world, tmp_path) as made:
        yield made

"""Fixtures: the operator's pages, and somebody who may act."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.desk import Desk, Visitor, serving, settings_of
from support.world import World


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    with serving(world, settings_of(world, tmp_path)) as made:
        yield made


@pytest.fixture
def olivia(desk: Desk) -> Visitor:
    return desk.visitor("operator-token")

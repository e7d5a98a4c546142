"""Fixtures: a tokens file, and a server that reads it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.door import Door
from support.world import World


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text("olivia:operator:operators-op-token\nvictor:viewer:view:token-of-victor\n")
    return file


@pytest.fixture
def door(world: World, tokens: Path) -> Iterator[Door]:
    made = Door(world, tokens_file=str(tokens))
    yield made
    made.listener.stop()

"""Fixtures: the API with and without a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.config import DatabaseSettings
from support.api_site import Site, serve, settings_of
from support.world import World


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    yield from serve(world, settings_of(world, tmp_path, queue={"removal_limit": 1}))


@pytest.fixture
def cut_off(world: World, tmp_path: Path) -> Iterator[Site]:
    """The API without a database."""
    nowhere = DatabaseSettings(unix_socket=str(tmp_path / "nowhere"))
    yield from serve(world, settings_of(world, tmp_path).model_copy(update={"database": nowhere}))

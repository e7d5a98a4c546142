"""Fixtures: one Chromium for the whole run, a daemon for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.browser import Pages, chromium, pages_of
from support.process import daemons_of
from support.uncovered import NOT_MEASURED
from support.world import World


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def pages(world: World, tmp_path: Path, browser: Browser) -> Iterator[Pages]:
    with daemons_of(world, tmp_path) as daemons:
        daemons.environment = NOT_MEASURED
        with pages_of(world, daemons, browser) as made:
            yield made

"""Fixtures: one private MariaDB for each test process, emptied before each test that uses it."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from ingestd import logs
from ingestd.config import LogSettings
from ingestd.embedded import EmbeddedMariaDB
from support.kept_helpers import end_kept
from support.private_db import migrated_server
from support.scale import IS_SOAK
from support.world import World, empty

settings.register_profile("unshrunk", phases=(Phase.reuse, Phase.generate))
"""for `--hypothesis-profile`: a test fails as soon as it finds something, and does not look for a smaller example"""


def pytest_configure() -> None:
    """Shells let background jobs ignore SIGINT, and so would every process that a test starts and interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only `make soak` runs, which selects what is marked `soak`."""
    for item in items:
        if item.get_closest_marker("soak_only"):
            item.add_marker("soak")
    left_out = [] if IS_SOAK else [item for item in items if item.get_closest_marker("soak_only")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """What was loaded and collected stays: tests that collect garbage need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quiet_logs() -> None:
    logs.configure(LogSettings(level="error"))


@pytest.fixture(scope="session", autouse=True)
def _no_helpers_left() -> Iterator[None]:
    yield
    end_kept()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_to_others(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects garbage after modules that cut off the database: unclosed sockets must not warn in other tests."""
    yield
    marks = getattr(request.module, "pytestmark", [])
    if "unclosed <socket" in str(marks):
        gc.collect()


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedMariaDB]:
    """A migrated private MariaDB; the daemon account has its limited rights."""
    with migrated_server() as started:
        yield started


@pytest.fixture
def world(server: EmbeddedMariaDB, tmp_path: Path) -> Iterator[World]:
    """An empty library and an empty mount."""
    (tmp_path / "assets" / "sync").mkdir(parents=True)
    made = World(server, tmp_path / "assets")
    empty(made)
    yield made
    made.close()
    assert made.tallies(planned=True) == made.counted(planned=True), "the tallies are not what the items say"

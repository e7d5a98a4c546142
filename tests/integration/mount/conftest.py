"""Fixtures: an assets root, mounts on it, and another file system."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.config import MountSettings
from ingestd.mount.access import Mount
from support.missing import give_up
from support.processes import helpers
from support.real_mount import MEMORY, MakeMount


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty assets root; a link, so that a test can put something else in its place."""
    (tmp_path / "real" / "sync").mkdir(parents=True)
    (tmp_path / "assets").symlink_to("real")
    return tmp_path / "assets"


@pytest.fixture
def make_mount(root: Path) -> Iterator[MakeMount]:
    made: list[Mount] = []

    def make(**settings: Any) -> Mount:
        made.append(Mount(MountSettings(**{"root": root, "require_mount": False, **settings})))
        return made[-1]

    yield make
    for mount in made:
        mount.close()
    assert not helpers(), "a helper outlived its mount"


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A folder on a separate file system, for any user that runs the tests."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == Path("/tmp").stat().st_dev:
        give_up("needs /dev/shm as a file system of its own")
    folder = MEMORY / f"ingestd-test-{os.getpid()}"
    (folder / "sync").mkdir(parents=True)
    yield folder
    (folder / "sync").rmdir()
    folder.rmdir()

"""Fixtures: one private MariaDB for each test process, emptied before each test that uses it."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import logs
from ingestd.config import LogSettings
from ingestd.embedded import EmbeddedMariaDB
from support.private_db import migrated_server
from support.world import World

TABLES = (
    "ingest_event", "ingest_request", "import_job", "ingest_batch_item", "ingest_batch_tally", "ingest_batch_removal",
    "ingest_batch_container", "ingest_batch", "asset_gallery_item", "asset_collection_item",
    "asset_gallery", "asset_collection", "asset_cover",
    "asset_source", "asset_ai_run", "asset_file", "asset",
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _quiet_logs() -> None:
    logs.configure(LogSettings(level="error"))


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


def empty(world: World) -> None:
    """Empties every table. The ledger is truncated, because its trigger refuses DELETE."""
    for table in TABLES:
        world.sql(f"TRUNCATE {table}" if table == "ingest_event" else f"DELETE FROM {table}")
    world.sql("UPDATE ingest_control SET paused = 0, paused_by = NULL, paused_reason = NULL, paused_at = NULL")

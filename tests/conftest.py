"""Fixtures: one private MariaDB for the whole run, emptied before each test that uses it."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import logs
from ingestd.config import LogSettings, Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.store.migrate import migrate
from support.world import World

TABLES = (
    "ingest_event", "ingest_request", "import_job", "ingest_batch_item", "ingest_batch_tally",
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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMariaDB]:
    """A migrated private MariaDB; the daemon account has its limited rights."""
    # In memory if possible: tests need no durability.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("mariadb")
    with running(EmbeddedMariaDB(folder, options=("--innodb-flush-log-at-trx-commit=2",))) as started:
        migrate(Settings(database=started.owner_settings()))
        started.grant()
        yield started
    shutil.rmtree(folder)


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

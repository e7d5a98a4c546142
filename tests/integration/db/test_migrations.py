"""Migrations: repeated, cut short, and run by several processes at once."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ingestd.config import DatabaseSettings, Settings
from ingestd.embedded import EmbeddedMariaDB
from ingestd.errors import (
    DatabaseRefused,
)
from ingestd.store.db import Database
from ingestd.store.migrate import migrate
from support.trial_db import Rows, in_thread, run
from support.wait import until
from support.world import owner_sql


@pytest.fixture
def fresh(server: EmbeddedMariaDB) -> Iterator[DatabaseSettings]:
    """An empty database."""
    owner = server.owner_settings()
    owner_sql(owner, "CREATE OR REPLACE DATABASE fresh CHARACTER SET utf8mb4")
    yield owner.model_copy(update={"name": "fresh"})
    owner_sql(owner, "DROP DATABASE fresh")


def schema(settings: DatabaseSettings) -> Rows:
    """Every column, index and trigger of a database."""
    columns = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS"
    indexes = "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS"
    triggers = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, EVENT_MANIPULATION FROM information_schema.TRIGGERS"
    return [
        *owner_sql(settings, f"{columns} WHERE TABLE_SCHEMA = %s ORDER BY 1, ORDINAL_POSITION", settings.name),
        *owner_sql(settings, f"{indexes} WHERE TABLE_SCHEMA = %s ORDER BY 1, 2, SEQ_IN_INDEX", settings.name),
        *owner_sql(settings, f"{triggers} WHERE TRIGGER_SCHEMA = %s ORDER BY 1, 2", settings.name),
    ]


def test_migrating_twice_changes_nothing(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    settings = Settings(database=fresh)
    applied = migrate(settings)
    assert applied == sorted(applied)
    assert len(applied) >= 2
    before = schema(fresh)
    assert before == schema(server.owner_settings())
    assert migrate(settings) == []
    assert schema(fresh) == before


def test_migration_cut_short_is_run_again(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    migrate(Settings(database=fresh))
    owner_sql(fresh, "DROP TABLE asset_collection_item")
    owner_sql(fresh, "DELETE FROM _yoyo_migration WHERE migration_id <> '0001_ingest'")
    assert migrate(Settings(database=fresh))
    assert schema(fresh) == schema(server.owner_settings())


MIGRATE = """
import sys
from ingestd.config import DatabaseSettings, Settings
from ingestd.store.migrate import migrate
settings = Settings(database=DatabaseSettings(unix_socket=sys.argv[1], user=sys.argv[2], name=sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
print(*migrate(settings))
"""


def test_processes_may_migrate_at_once(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    command = [sys.executable, "-c", MIGRATE, fresh.unix_socket, fresh.user, fresh.name]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0].strip() for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert [process.returncode for process in started] == [0] * 4
    assert sorted(map(bool, outputs)) == [False, False, False, True]
    assert schema(fresh) == schema(server.owner_settings())


def test_migration_waits_for_the_one_that_runs(server: EmbeddedMariaDB, fresh: DatabaseSettings) -> None:
    other = Database(fresh)
    waiting = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"
    try:
        other.read(lambda tx: run(tx, "SELECT GET_LOCK('ingestd.migrate.fresh', 0)"))
        with in_thread(Database(fresh), lambda: migrate(Settings(database=fresh))) as outcome:
            until(lambda: owner_sql(fresh, waiting), what="for the migration to wait")
            assert schema(fresh) == []
            other.read(lambda tx: run(tx, "SELECT RELEASE_LOCK('ingestd.migrate.fresh')"))
    finally:
        other.close()
    assert len(outcome[0]) >= 2
    assert schema(fresh) == schema(server.owner_settings())


def test_migrating_with_the_daemons_account_is_refused_at_once(server: EmbeddedMariaDB) -> None:
    with pytest.raises(DatabaseRefused, match="CREATE command denied"):
        migrate(Settings(database=server.settings()))

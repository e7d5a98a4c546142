"""What the daemon's account may do in the database, and what it may not."""

from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from ingestd.embedded import grant_statements
from support.account import Do, connected
from support.world import World, md5, photo

LIBRARY = (
    "asset", "asset_file", "asset_source", "asset_ai_run", "asset_cover", "asset_other_cover", "asset_gallery",
    "asset_gallery_item",
    "asset_collection", "asset_collection_item",
)  # fmt: skip
TABLES = ("ingest_batch", "ingest_batch_item", "ingest_batch_container", "import_job", *LIBRARY)
DENIED = {1044, 1142, 1143, 1227, 1370}


@pytest.fixture
def daemon(world: World) -> Iterator[Do]:
    """Runs a statement as the daemon's account."""
    with connected(world.server.settings()) as do:
        yield do


def denied(do: Do, statement: str) -> None:
    with pytest.raises(pymysql.MySQLError) as refused:
        do(statement)
    assert refused.value.args[0] in DENIED, statement


@pytest.mark.parametrize("table", TABLES)
def test_the_daemon_reads_adds_and_changes(daemon: Do, table: str) -> None:
    # EXPLAIN asks for the same rights as the statement, and changes nothing.
    ((column,),) = daemon(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s"
        " AND ordinal_position = 1",
        table,
    )
    daemon(f"SELECT * FROM {table} LIMIT 1")
    daemon(f"EXPLAIN INSERT INTO {table} ({column}) VALUES (1)")
    daemon(f"EXPLAIN UPDATE {table} SET {column} = 1 WHERE 1 = 0")


def test_explain_asks_for_rights(daemon: Do) -> None:
    denied(daemon, "EXPLAIN INSERT INTO ingest_control (id) VALUES (2)")
    denied(daemon, "EXPLAIN UPDATE ingest_event SET payload = '{}' WHERE 1 = 0")


def test_the_daemon_imports_with_these_rights(world: World) -> None:
    context = world.context()
    assert world.import_all(context, world.put(photo("a"))) == ["done"]
    assert world.import_all(context, world.put({"type": "photo", "hash": md5("a")}, action="remove", day=2)) == ["done"]
    assert world.one("SELECT deleted_at IS NOT NULL FROM asset") == 1


def test_the_daemon_adds_to_the_ledger_and_changes_nothing_there(world: World, daemon: Do) -> None:
    daemon("INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'queue_paused', '{}')")
    assert world.one("SELECT event_type FROM ingest_event") == "queue_paused"
    for statement in (
        "UPDATE ingest_event SET payload = '{}'",
        "UPDATE ingest_event SET payload = '{}' WHERE 1 = 0",
        "DELETE FROM ingest_event",
        "TRUNCATE ingest_event",
        "REPLACE INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'x', '{}')",
        "INSERT INTO ingest_event (id, batch_id, event_type, payload) VALUES (1, NULL, 'x', '{}')",
        "INSERT INTO ingest_event (event_type, payload, created_at) VALUES ('x', '{}', '2020-01-01')",
        "INSERT INTO ingest_event (event_type, payload) VALUES ('x', '{}') ON DUPLICATE KEY UPDATE payload = '[]'",
        "ALTER TABLE ingest_event ADD COLUMN x INT",
        "DROP TRIGGER ingest_event_is_append_only_update",
        "DROP TRIGGER ingest_event_is_append_only_delete",
        "RENAME TABLE ingest_event TO elsewhere",
        "LOCK TABLES ingest_event WRITE",
    ):
        denied(daemon, statement)
    assert world.one("SELECT COUNT(*) FROM ingest_event") == 1


@pytest.mark.parametrize("change", ["UPDATE ingest_event SET payload = '{}'", "DELETE FROM ingest_event"])
def test_not_even_the_owner_changes_the_ledger(world: World, daemon: Do, change: str) -> None:
    daemon("INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'queue_paused', '{}')")
    with pytest.raises(pymysql.OperationalError, match="append-only"):
        world.sql(change)


@pytest.mark.parametrize("table", [*TABLES, "ingest_event", "ingest_control", "_yoyo_migration"])
def test_the_daemon_deletes_creates_and_drops_nothing(daemon: Do, table: str) -> None:
    for statement in (
        f"DELETE FROM {table} WHERE 1 = 0",
        f"TRUNCATE {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table} COMMENT 'x'",
        f"CREATE INDEX x ON {table} (id)",
        f"CREATE TRIGGER x BEFORE INSERT ON {table} FOR EACH ROW SET @x = 1",
    ):
        denied(daemon, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x (id INT)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE DATABASE x",
        "DROP DATABASE admin_panel",
        "CREATE USER x@localhost",
        "GRANT DELETE ON asset TO ingestd@localhost",
        "SET GLOBAL max_connections = 1",
        "SELECT * FROM mysql.user",
        "INSERT INTO ingest_control (id) VALUES (2)",
        "UPDATE _yoyo_migration SET migration_id = 'x'",
        "SELECT LOAD_FILE('/etc/passwd') FROM mysql.db",
    ],
)
def test_the_daemon_has_no_rights_beyond_its_tables(daemon: Do, statement: str) -> None:
    denied(daemon, statement)


def test_the_daemon_writes_no_files(daemon: Do, tmp_path: Path) -> None:
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        daemon(f"SELECT * FROM asset INTO OUTFILE '{tmp_path}/x'")


def test_grants_are_given_twice_without_harm(world: World, daemon: Do) -> None:
    before = daemon("SHOW GRANTS")
    world.server.grant()
    assert daemon("SHOW GRANTS") == before
    assert len(before) == 1 + len(list(grant_statements()))

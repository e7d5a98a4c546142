"""The private MariaDB: it starts, stops, keeps what it was given, leaves nothing behind, and limits the daemon."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from ingestd import embedded
from ingestd.config import DatabaseSettings
from ingestd.embedded import EmbeddedMariaDB, grant_statements, running
from ingestd.errors import ConfigError, DatabaseUnavailable, IngestdError
from support.private_db import folder_in_memory
from support.world import World, md5, owner_sql, photo

LIBRARY = (
    "asset", "asset_file", "asset_source", "asset_ai_run", "asset_cover", "asset_gallery", "asset_gallery_item",
    "asset_collection", "asset_collection_item",
)  # fmt: skip
TABLES = ("ingest_batch", "ingest_batch_item", "ingest_batch_container", "import_job", *LIBRARY)
DENIED = {1044, 1142, 1143, 1227, 1370}

Do = Callable[..., list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """A folder in which a server has already run."""
    with folder_in_memory() as folder:
        with running(EmbeddedMariaDB(folder)):
            pass
        yield folder


@pytest.fixture
def private(installed: Path) -> Iterator[EmbeddedMariaDB]:
    """A server that is not started yet, and is stopped in the end."""
    made = EmbeddedMariaDB(installed)
    yield made
    made.stop()


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def ask(server: EmbeddedMariaDB, statement: str) -> list[tuple[object, ...]]:
    return owner_sql(server.owner_settings(), statement)


def test_start_and_stop_twice(private: EmbeddedMariaDB) -> None:
    private.start()
    pid, socket = private.pid, Path(private.socket)
    private.start()
    assert private.pid == pid, "a second start does nothing"
    assert pid is not None
    assert is_running(pid)
    assert ask(private, "SELECT DATABASE()") == [("admin_panel",)]
    for _ in range(2):
        private.stop()
        assert private.pid is None
        assert not is_running(pid)
        assert not socket.exists()


def test_stop_without_start(private: EmbeddedMariaDB) -> None:
    private.stop()
    assert private.pid is None


def test_it_is_reached_only_while_it_runs(private: EmbeddedMariaDB) -> None:
    for settings in (private.settings, private.owner_settings):
        with pytest.raises(IngestdError, match="is not running"):
            settings()
    private.start()
    assert private.settings() == DatabaseSettings(unix_socket=private.socket, user="ingestd", name="admin_panel")
    assert private.owner_settings().user == "root"


def test_it_listens_on_its_socket_only(private: EmbeddedMariaDB) -> None:
    private.start()
    assert Path(private.socket).parent == private.folder
    assert ask(private, "SELECT @@skip_networking") == [(1,)]


@pytest.mark.parametrize("is_installed", [True, False])
def test_it_leaves_the_temporary_files_of_other_servers_alone(
    is_installed: bool, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A MariaDB that starts deletes every #sql* in its folder for temporary files."""
    common = tmp_path / "common"
    common.mkdir()
    theirs = common / "#sql-temptable-1-2-3.MAD"
    theirs.touch()
    monkeypatch.setenv("TMPDIR", str(common))
    server = EmbeddedMariaDB(installed if is_installed else tmp_path / "db")
    with running(server):
        assert ask(server, "SELECT @@tmpdir") == [(str(server.folder / "tmp"),)]
    assert theirs.exists()


def test_what_was_written_is_there_after_a_restart(private: EmbeddedMariaDB) -> None:
    private.start()
    ask(private, "CREATE OR REPLACE TABLE kept (id INT PRIMARY KEY)")
    ask(private, "INSERT INTO kept VALUES (7)")
    private.stop()
    private.start()
    assert ask(private, "SELECT id FROM kept") == [(7,)]


def test_another_instance_takes_over_the_folder(private: EmbeddedMariaDB) -> None:
    private.start()
    private.stop()
    with running(EmbeddedMariaDB(private.folder, name="other")) as second:
        assert ask(second, "SELECT DATABASE()") == [("other",)]


def test_a_folder_has_one_user(private: EmbeddedMariaDB) -> None:
    private.start()
    second = EmbeddedMariaDB(private.folder)
    with pytest.raises(ConfigError, match="is in use by another ingestd") as refused:
        second.start()
    assert str(private.folder) in str(refused.value)
    second.stop()
    assert ask(private, "SELECT 1") == [(1,)], "the first server is unaffected"
    private.stop()
    second.start()
    assert ask(second, "SELECT 1") == [(1,)]
    second.stop()


def test_a_long_folder_has_its_socket_elsewhere(installed: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir(mode=0o700)
    (long / "data").symlink_to(installed / "data")
    server = EmbeddedMariaDB(long)
    with running(server):
        socket = Path(server.socket)
        assert long not in socket.parents
        assert len(os.fsencode(socket)) <= embedded.MAX_SOCKET_PATH
        assert socket.parent.stat().st_mode & 0o077 == 0, "only the owner has access"
        assert ask(server, "SELECT 1") == [(1,)]
    assert not socket.parent.exists()


@pytest.mark.parametrize("missing", ["mariadb-install-db", "mariadbd"])
def test_a_missing_program_is_named_and_how_to_get_it(
    missing: str, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path if missing == "mariadb-install-db" else installed
    monkeypatch.setattr(embedded, "SEARCH", str(tmp_path))
    server = EmbeddedMariaDB(folder)
    with (
        pytest.raises(ConfigError, match=f"^{missing} was not found: install .*apt-get install mariadb-server"),
        running(server),
    ):
        pass
    monkeypatch.undo()
    with running(EmbeddedMariaDB(installed)) as free:
        assert ask(free, "SELECT 1") == [(1,)], "nothing was left locked"


def test_a_server_that_does_not_start_says_where_its_log_is(private: EmbeddedMariaDB) -> None:
    broken = EmbeddedMariaDB(private.folder, options=("--no-such-option",))
    with pytest.raises(DatabaseUnavailable, match=r"did not start; its log is .*mariadb\.log"):
        broken.start()
    assert broken.pid is None
    private.start()
    assert ask(private, "SELECT 1") == [(1,)], "the folder is free again"


def test_a_failed_installation_is_reported_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mariadb-install-db"
    program.write_text("#!/bin/sh\necho no space left; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "SEARCH", str(tmp_path))
    server = EmbeddedMariaDB(tmp_path / "db")
    for _ in range(2):
        with (
            pytest.raises(DatabaseUnavailable, match=r"mariadb-install-db failed in .*: no space left"),
            running(server),
        ):
            pass


def test_it_is_stopped_whatever_happens(private: EmbeddedMariaDB) -> None:
    pids: list[int | None] = []

    def trouble() -> None:
        with running(private):
            pids.append(private.pid)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        trouble()
    (pid,) = pids
    assert pid is not None
    assert not is_running(pid)


# what the daemon's account may do


@pytest.fixture
def daemon(world: World) -> Iterator[Do]:
    """Runs a statement as the daemon's account."""
    settings = world.server.settings()
    connection = pymysql.connect(
        unix_socket=settings.unix_socket, user=settings.user, database=settings.name, autocommit=True,
        ssl_disabled=True,
    )  # fmt: skip

    def do(statement: str, *values: object) -> list[tuple[object, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    yield do
    connection.close()


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

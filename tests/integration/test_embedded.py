"""The private MariaDB: it starts, stops, keeps what it was given, and leaves nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd import embedded
from ingestd.cli.serve import Background
from ingestd.config import DatabaseSettings, Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.errors import ConfigError, DatabaseUnavailable, IngestdError
from ingestd.store.migrate import migrate
from support.hangs import has_database
from support.private_db import folder_in_memory
from support.scale import scaled
from support.wait import until
from support.world import owner_sql


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


@pytest.mark.soak
@pytest.mark.parametrize("stage", ["data.new/mysql", "mariadb.log", "data.new", "data"][: scaled(2, 4)])
def test_a_start_that_is_aborted_leaves_no_process_and_can_be_done_again(stage: str) -> None:
    with folder_in_memory() as folder:
        aborted = EmbeddedMariaDB(folder)
        aborted.stop_seconds = 0.5
        starting = Background(aborted.start)
        starting.start()
        until((folder / stage).exists, what=f"for {stage}")
        aborted.abort()
        starting.join()
        until(lambda: not has_database(folder), what="for its processes to end")
        with pytest.raises(DatabaseUnavailable, match="stopping"), running(aborted):
            pass
        with running(EmbeddedMariaDB(folder)) as again:
            assert ask(again, "SELECT 1") == [(1,)]


def test_a_lock_that_an_interrupted_migration_left_delays_no_start(private: EmbeddedMariaDB) -> None:
    private.start()
    settings = Settings(database=private.owner_settings())
    migrate(settings)
    ask(private, "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, NOW(), 99999999)")
    assert migrate(settings, is_alone=True) == []

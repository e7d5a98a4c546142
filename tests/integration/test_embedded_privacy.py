"""The private MariaDB belongs to the user who runs it: others cannot enter its folder, or connect as its owner."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.errors import ConfigError
from support.other_user import NAME, as_other_user, needs_root
from support.private_db import folder_in_memory, prepare
from support.world import owner_sql


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedMariaDB]:
    with folder_in_memory() as folder, running(EmbeddedMariaDB(folder / "db")) as made:
        prepare(made)
        yield made


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Lets other users enter a folder and those above it."""
    before = {path: path.stat().st_mode & 0o7777 for path in (folder, *folder.parents)}
    closed = [path for path, mode in before.items() if not mode & 0o001]
    for path in closed:
        path.chmod(before[path] | 0o011)
    yield
    for path in closed:
        path.chmod(before[path])


@pytest.fixture
def entered(server: EmbeddedMariaDB) -> Iterator[EmbeddedMariaDB]:
    """The server in a folder that others were let into afterwards."""
    with opened(server.folder):
        yield server


def connect(server: EmbeddedMariaDB, user: str, statement: str = "SELECT CURRENT_USER()", password: str = "") -> object:
    connection = pymysql.connect(unix_socket=server.socket, user=user, password=password, ssl_disabled=True)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_folder_is_made_for_its_owner_only(server: EmbeddedMariaDB) -> None:
    assert server.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777, 0o1777, 0o770, 0o710])
def test_folder_that_others_can_enter_is_refused(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=r"other users can enter the folder .*/db .*`chmod 700`"):
        EmbeddedMariaDB(folder).start()
    assert list(folder.iterdir()) == [], "nothing was put there"


def test_folder_that_was_opened_later_is_refused(server: EmbeddedMariaDB, tmp_path: Path) -> None:
    folder = tmp_path / "db"
    with running(EmbeddedMariaDB(folder)):
        pass
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="other users can enter"):
        EmbeddedMariaDB(folder).start()


@needs_root
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, NAME)
    with pytest.raises(ConfigError, match="belongs to another user"):
        EmbeddedMariaDB(folder).start()


@pytest.mark.parametrize("name", ["file", "file/below", "file/below/that"])
def test_folder_that_cannot_be_made_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot keep a database in"):
        EmbeddedMariaDB(tmp_path / name).start()


@needs_root
@pytest.mark.parametrize("account", ["root", NAME, "mysql", "mariadb.sys", ""])
def test_other_users_cannot_connect(account: str, entered: EmbeddedMariaDB) -> None:
    assert "Access denied" in as_other_user(lambda: connect(entered, account))


@needs_root
def test_other_users_cannot_reach_the_socket(server: EmbeddedMariaDB) -> None:
    assert "Permission denied" in as_other_user(lambda: connect(server, "root"))
    assert "Permission denied" in as_other_user(lambda: os.listdir(server.folder))


def test_accounts_of_the_owner(server: EmbeddedMariaDB) -> None:
    for settings in (server.settings(), server.owner_settings()):
        assert owner_sql(settings, "SELECT CURRENT_USER()") == [(f"{settings.user}@localhost",)]
    accounts = owner_sql(server.owner_settings(), "SELECT user, host FROM mysql.global_priv")
    assert ("", "localhost") not in accounts
    secret = Path(server.owner_settings().password_file)
    assert secret.stat().st_mode & 0o777 == 0o600


@needs_root
@pytest.mark.parametrize("password", ["", "root", "0" * 32])
def test_guessed_password_does_not_help(password: str, entered: EmbeddedMariaDB) -> None:
    assert "Access denied" in as_other_user(lambda: connect(entered, "root", password=password))


@needs_root
def test_folder_of_an_older_release_is_closed(tmp_path: Path) -> None:
    """Its account root had no password: everybody who reached the socket was root."""
    folder = tmp_path / "db"
    with running(EmbeddedMariaDB(folder)) as server:
        owner_sql(server.owner_settings(), "CREATE USER ''@localhost")
        owner_sql(server.owner_settings(), "ALTER USER root@localhost IDENTIFIED VIA mysql_native_password")
    with running(EmbeddedMariaDB(folder)) as server, opened(folder):
        for account in ("root", ""):
            assert "Access denied" in as_other_user(lambda name=account: connect(server, name))  # type: ignore[misc]


def test_server_reads_and_writes_no_files_elsewhere(server: EmbeddedMariaDB, tmp_path: Path) -> None:
    readable = tmp_path / "secret"
    readable.write_text("secret")
    for path in (tmp_path / "made", server.folder / "made", server.folder / "data" / "made", Path("/tmp/ingestd-made")):
        with pytest.raises(pymysql.MySQLError, match="secure-file-priv"):
            connect(server, "root", f"SELECT 1 INTO OUTFILE '{path}'")
        assert not path.exists()
    for path in (readable, Path("/etc/passwd")):
        assert connect(server, "root", f"SELECT LOAD_FILE('{path}')") == ((None,),)


def test_server_has_its_own_folders_and_no_network(server: EmbeddedMariaDB) -> None:
    names = "tmpdir, @@secure_file_priv, @@skip_networking, @@local_infile"
    ((tmpdir, files, skip_networking, _),) = owner_sql(server.owner_settings(), f"SELECT @@{names}")
    assert Path(str(tmpdir)) == server.folder / "tmp"
    assert Path(str(files)) == server.folder / "files"
    assert skip_networking == 1


@needs_root
def test_it_runs_as_a_user_without_rights(tmp_path: Path) -> None:
    shutil.chown(tmp_path, NAME)
    server = EmbeddedMariaDB(tmp_path / "db")

    def work() -> object:
        with running(server):
            prepare(server)
            both = (server.settings(), server.owner_settings())
            return tuple(owner_sql(settings, "SELECT CURRENT_USER()") for settings in both)

    with opened(tmp_path.parent):
        assert as_other_user(work) == "([('ingestd@localhost',)], [('root@localhost',)])"

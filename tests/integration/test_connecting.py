"""Connecting to a server: IPv6, passwords of any script, TLS, and one sentence for every wrong setting."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ingestd.config import DatabaseSettings, MigrateSettings, Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.errors import ConfigError, DatabaseRefused, DatabaseUnavailable, IngestdError
from ingestd.store.connection import described, needs_tls
from ingestd.store.db import Database, Tx
from ingestd.store.migrate import migrate
from support.browser import free_port
from support.certificates import self_signed
from support.private_db import unstarted_server
from support.rogue_db import framed, greeting_server, rogue_server
from support.scale import scaled
from support.world import World, owner_sql, photo

# (The driver leaves the socket of an attempt to connect in vain to the garbage collector.)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PASSWORD = "pässword-密码-🔑"


class Site:
    """A server on ::1 with TLS, and an account with a password."""

    def __init__(self, server: EmbeddedMariaDB, port: int, folder: Path) -> None:
        self.server, self.port, self.folder = server, port, folder
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD + "\n", encoding="utf-8")

    def settings(self, **changes: Any) -> DatabaseSettings:
        account = {"user": "remote", "password_file": str(self.password_file)}
        return DatabaseSettings(**{"host": "::1", "port": self.port, **account, **changes})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    certificate = self_signed(folder / "server.pem", "::1")
    tcp = ("--skip-networking=0", "--bind-address=::1", f"--port={port}", "--skip-name-resolve")
    with unstarted_server(*tcp, f"--ssl-cert={certificate}", f"--ssl-key={certificate}") as server, running(server):
        owner = server.owner_settings()
        owner_sql(owner, "CREATE USER remote@'%%' IDENTIFIED BY %s", PASSWORD)
        owner_sql(owner, "GRANT ALL ON admin_panel.* TO remote@'%%'")
        owner_sql(owner, "CREATE USER other@'%%' IDENTIFIED BY %s", "other")
        yield Site(server, port, folder)


def session(settings: DatabaseSettings) -> tuple[Any, ...]:
    """User and cipher of a new connection."""

    def work(tx: Tx) -> tuple[Any, ...]:
        with tx.connection.cursor() as cursor:
            cursor.execute(
                "SELECT USER(), (SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS"
                " WHERE VARIABLE_NAME = 'Ssl_cipher')"
            )
            return tuple(cursor.fetchone() or ())

    db = Database(settings)
    try:
        return db.read(work)
    finally:
        db.close()


def test_ipv6_and_a_password_of_any_script_work(site: Site) -> None:
    settings = Settings(database=site.settings())
    assert len(migrate(settings)) >= 2
    assert migrate(settings) == []
    assert session(site.settings()) == ("remote@::1", "")


def test_the_migration_account_has_its_own_name_in_errors(site: Site) -> None:
    wrong = site.folder / "wrong"
    wrong.write_text("wrong")
    account = MigrateSettings(user="other", password_file=str(wrong))
    with pytest.raises(DatabaseRefused, match=r"\[migrate\] user.*'other'"):
        migrate(Settings(database=site.settings(), migrate=account))
    with pytest.raises(DatabaseRefused, match=r"\[database\] user.*'remote'"):
        migrate(Settings(database=site.settings(password_file=str(wrong))))


WRONG: dict[str, dict[str, Any]] = {
    "host with a space": {"host": "no such host"},
    "host with a long label": {"host": "a" * 70},
    "empty label": {"host": "a..b"},
    "NUL in the host": {"host": "a\0b"},
    "lone surrogate": {"host": "\ud800"},
    "address of a network": {"host": "::1/64"},
    "host in brackets": {"host": "[::1]"},
    "host with a port": {"host": "127.0.0.1:3306"},
    "port without a server": {"port": 1},
    "socket that is too long": {"unix_socket": "/" + 200 * "x"},
    "socket with NUL": {"unix_socket": "/tmp/\0"},
    "socket that is a folder": {"unix_socket": "/tmp"},
    "unknown user": {"user": "ünknown"},
    "user with NUL": {"user": "a\0b"},
    "user with a lone surrogate": {"user": "\ud800"},
    "empty user": {"user": ""},
    "unknown database": {"name": "nothing"},
    "no password file": {"password_file": "/nothing"},
    "password file that is a folder": {"password_file": "/tmp"},
    "no certificates": {"ssl": "required", "ssl_ca": "/nothing"},
    "a file without certificates": {"ssl": "required", "ssl_ca": "/etc/hostname"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_one_sentence(site: Site, name: str) -> None:
    settings = site.settings(**WRONG[name])
    with pytest.raises((ConfigError, DatabaseUnavailable)) as migrating:
        migrate(Settings(database=settings))
    with pytest.raises(DatabaseUnavailable) as reading:
        session(settings)
    for raised in (migrating, reading):
        assert isinstance(raised.value, IngestdError)
        assert raised.value.exit_status in (69, 78)
        assert "\n" not in str(raised.value).strip()


@pytest.mark.soak
def test_a_server_of_another_kind_is_one_sentence(site: Site) -> None:
    random = Random(7)
    greetings = [
        b"",
        b"\x0a",
        b"\xff",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x00\x00",
    ]
    greetings += [
        framed(body) for body in (b"", b"\x0a", b"\x0a10.11\0", b"\xff", b"\xff\x01", b"\x0a\xff\0" + bytes(60))
    ]
    greetings += [framed(random.randbytes(random.randrange(1, 90))) for _ in range(scaled(40, 2000))]
    for greeting in greetings:
        with greeting_server(greeting) as port, pytest.raises(DatabaseUnavailable):
            session(site.settings(host="127.0.0.1", port=port))


# TLS


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"host": "127.9.9.9"}, False),
        ({"host": "10.0.0.1"}, True),
        ({"host": "db.example"}, True),
        ({"host": "localhost.example"}, True),
        ({"host": "db.example", "ssl": "off"}, False),
        ({"host": "127.0.0.1", "ssl": "required"}, True),
        ({"host": "db.example", "unix_socket": "/run/mysqld/mysqld.sock"}, False),
    ],
)
def test_connections_beyond_this_host_need_tls(settings: dict[str, Any], expected: bool) -> None:
    assert needs_tls(DatabaseSettings(**settings)) == expected


def test_the_certificate_of_the_server_must_be_trusted(site: Site) -> None:
    with pytest.raises(DatabaseRefused, match=r"certificate.*see \[database\] ssl, ssl_ca, ssl_verify"):
        session(site.settings(ssl="required"))
    other = self_signed(site.folder / "other.pem", "::1")
    with pytest.raises(DatabaseRefused, match="certificate"):
        session(site.settings(ssl="required", ssl_ca=str(other)))
    for trusted in ({"ssl_ca": str(site.folder / "server.pem")}, {"ssl_verify": False}):
        user, cipher = session(site.settings(ssl="required", **trusted))
        assert user == "remote@::1"
        assert cipher


PLUGINS = [
    "mysql_clear_password",
    "dialog",
    "mysql_old_password",
    "sha256_password",
    "caching_sha2_password",
    "unheard",
]


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("proposes", ["mysql_native_password", "same"])
def test_no_server_gets_the_password(site: Site, plugin: str, proposes: str) -> None:
    with rogue_server(plugin if proposes == "same" else proposes, plugin) as rogue:
        settings = site.settings(host="127.0.0.1", port=rogue.port)
        with pytest.raises(DatabaseRefused, match=f"'{plugin}', which could reveal the password"):
            session(settings)
    assert PASSWORD.encode() not in rogue.received
    assert rogue.received


def test_a_server_without_tls_does_not_even_get_the_name_of_the_user(site: Site) -> None:
    plugin = "mysql_native_password"
    refused = pytest.raises(DatabaseRefused, match=r"SSL is required.*see \[database\] ssl")
    with rogue_server(plugin, plugin) as rogue, refused:
        session(site.settings(host="127.0.0.1", port=rogue.port, ssl="required"))
    assert b"remote" not in rogue.received


def test_columns_of_results_are_described_once(world: World) -> None:
    context = world.context()

    def read(tx: Tx) -> Any:
        with tx.connection.cursor() as cursor:
            cursor.execute("SELECT id, status, discovered_at AS seen, 1.5 AS ratio FROM ingest_batch")
            return cursor.description, cursor.fetchall()

    world.put(photo("a"))
    world.scan(context)
    first = context.db.read(read)
    before = described.cache_info()
    assert context.db.read(read) == first
    after = described.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 4)

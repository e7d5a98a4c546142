"""Opens connections: the settings of every session, TLS, time limits, and which passwords may leave this process."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pymysql
from pymysql.connections import Connection as DriverConnection
from pymysql.connections import MySQLResult
from pymysql.constants import CLIENT, CR
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from ingestd.config import DatabaseSettings
from ingestd.errors import ConfigError
from ingestd.hosts import is_loopback
from ingestd.store.server_errors import DRIVER_ERRORS, translate
from ingestd.store.values import ENCODERS

SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',"
    " tx_isolation = 'READ-COMMITTED', innodb_lock_wait_timeout = %s, lock_wait_timeout = %s,"
    " idle_transaction_timeout = %s, idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0,"
    # A server may preset these for all sessions, and would so change what the statements mean, or forbid them.
    " check_constraint_checks = 1, completion_type = 'NO_CHAIN', div_precision_increment = 4, foreign_key_checks = 1,"
    " group_concat_max_len = 1048576, max_join_size = 18446744073709551615, max_recursive_iterations = 1000000,"
    " max_sort_length = 1024, max_statement_time = 0, sql_auto_is_null = 0, sql_big_selects = 1, sql_safe_updates = 0,"
    " sql_select_limit = 18446744073709551615, standard_compliant_cte = 1, tx_read_only = 0, unique_checks = 1"
)
CONNECT_SECONDS, LOCK_SECONDS, SILENCE_SECONDS = 5.0, 5, 120.0
SAFE_PLUGINS = (b"mysql_native_password", b"client_ed25519")
"""authentication that proves to know the password without sending it"""
LOCAL_FILE, PACKET_BYTES = b"rows", 1 << 16


class Result(MySQLResult):
    """A reply. One that asks for a file is answered with what the connection offers; the disk is never read."""

    connection: "Connection"

    def _read_load_local_packet(self, first_packet: MysqlPacket) -> None:
        self.connection.send_offered(first_packet.get_all_data()[1:])  # type: ignore[no-untyped-call]
        self._read_ok_packet(self.connection._read_packet())  # type: ignore[attr-defined]


class Connection(DriverConnection):
    """A connection that never sends its password, nor any file, whatever the server asks for."""

    statement: str | bytes = b""
    """the one that was sent last, at `sent_at` (monotonic)"""
    sent_at = opened_at = 0.0
    can_load = False
    """whether the server allows LOAD DATA LOCAL on this connection"""
    warning_count = 0
    """of the last statement"""
    _offered: bytes | None = None
    _result: MySQLResult | None
    _auth_plugin_name: str
    _sock: socket.socket | None
    _read_timeout: float | None
    _write_timeout: float | None

    def limit_lock_waits(self, seconds: int) -> None:
        """Sets how long the server waits for one row in this session; with 0 it does not wait."""
        self.query(f"SET SESSION innodb_lock_wait_timeout = {seconds}")

    @property
    def number(self) -> int | None:
        """Its id at the server, once that has greeted."""
        (number,) = getattr(self, "server_thread_id", None) or (None,)
        return number

    def break_off(self) -> None:
        """Closes it without a word to the server."""
        self._force_close()  # type: ignore[attr-defined]

    def interrupt(self) -> None:
        """Makes a thread that waits for the server in this connection fail at once."""
        with suppress(OSError, AttributeError):
            self._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self.statement, self.sent_at = sql, time.monotonic()
        super()._execute_command(command, sql)  # type: ignore[misc]

    @contextmanager
    def offering(self, data: bytes) -> Iterator[None]:
        """While one statement runs that asks for LOCAL_FILE: that file is `data`."""
        self._offered = data
        try:
            yield
        finally:
            self._offered = None

    def send_offered(self, filename: bytes) -> None:
        """Sends what is offered, once. A server that asks for anything else gets nothing, and loses the connection."""
        data, self._offered = self._offered, None
        if data is None or filename != LOCAL_FILE:
            self.break_off()
            asked = filename[:100].decode("utf-8", "replace")
            raise pymysql.OperationalError(CR.CR_MALFORMED_PACKET, f"it asks for a file of this host: {asked!r}")
        for start in range(0, len(data), PACKET_BYTES):
            self.write_packet(data[start : start + PACKET_BYTES])
        self.write_packet(b"")

    def _read_query_result(self, unbuffered: bool = False) -> int | None:
        """As in the driver, with a Result of ours."""
        assert not unbuffered, "no query reads its rows one by one"
        self._result, result = None, Result(self)
        result.read()
        self._result, self.warning_count = result, result.warning_count
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> Any:
        made = described if packet_type is FieldDescriptorPacket else packet_type
        return super()._read_packet(made)  # type: ignore[no-untyped-call]

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        if self._auth_plugin_name.encode() not in SAFE_PLUGINS:
            # What the server proposes first is not binding: it may still ask for what the account needs.
            self._auth_plugin_name = SAFE_PLUGINS[0].decode()

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        if plugin_name in SAFE_PLUGINS:
            return super()._process_auth(plugin_name, auth_packet, handler)  # type: ignore[misc]
        asked = plugin_name.decode("ascii", "replace")
        message = f"it asks for authentication by {asked!r}, which could reveal the password; give the account another"
        raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, message)


@lru_cache(maxsize=4096)
def described(data: bytes, encoding: str) -> FieldDescriptorPacket:
    """What a server says of a column of a result: the same each time, and reading it takes longer than most rows."""
    return FieldDescriptorPacket(data, encoding)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a session, in seconds.

    `statement` limits each statement, in client and server; without it, the client waits for a reply for `silence`.
    `lock` is how long the server waits for one lock. The transaction is tried again then, for as long as it takes.
    `idle` is how long a client may say nothing during a transaction before the server ends it and frees its locks.
    """

    statement: float | None = None
    lock: int = field(default_factory=lambda: LOCK_SECONDS)
    silence: float = field(default_factory=lambda: SILENCE_SECONDS)
    idle: int = 60

    @property
    def connecting(self) -> float:
        return min(CONNECT_SECONDS, self.statement or CONNECT_SECONDS)


DEFAULT_LIMITS = Limits()


def limits_for(stale_after: float) -> Limits:
    """The limits of workers whose jobs are taken over after `stale_after` seconds of silence.

    The locks of a frozen worker are free before that, and a wait for a lock ends in time for the next heartbeat.
    """
    lock, idle = min(LOCK_SECONDS, int(stale_after / 6)), min(DEFAULT_LIMITS.idle, int(stale_after / 2))
    return Limits(lock=max(1, lock), idle=max(1, idle))


def connect(
    settings: DatabaseSettings, user: str, password: str, name: str | None, limits: Limits = DEFAULT_LIMITS
) -> Connection:
    """A new connection in autocommit, with the session settings that every part of ingestd relies on."""
    connection = new_connection(settings, user, password, name, limits)
    try:
        open_connection(connection, settings, limits)
    except BaseException:
        connection.break_off()
        raise
    return connection


def new_connection(
    settings: DatabaseSettings, user: str, password: str, name: str | None, limits: Limits, *, loads: bool = False
) -> Connection:
    """A connection that is not open yet. The driver would take a password in text for Latin-1.

    `loads`: it may be used for LOAD DATA LOCAL, if the server allows that.
    """
    return Connection(
        unix_socket=settings.unix_socket or None,
        host=settings.host,
        port=settings.port,
        user=user,
        password=password.encode(),
        database=name,
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.FOUND_ROWS,
        connect_timeout=limits.connecting,
        read_timeout=limits.connecting,
        write_timeout=limits.connecting,
        local_infile=loads,
        ssl=tls_context(settings),
        ssl_disabled=not needs_tls(settings),
        defer_connect=True,
    )


def open_connection(connection: Connection, settings: DatabaseSettings, limits: Limits, *, loads: bool = False) -> None:
    """Connects and prepares the session. Raises errors of the driver, and ConfigError."""
    _open(connection, settings)
    connection.opened_at = time.monotonic()
    connection.encoders = {**connection.encoders, **ENCODERS}
    with connection.cursor() as cursor:
        cursor.execute(SESSION, (limits.lock, limits.lock, limits.idle))
        if limits.statement:
            cursor.execute("SET SESSION max_statement_time = %s", (0.8 * limits.statement,))  # before we give up
        if loads:
            cursor.execute("SELECT @@local_infile")
            connection.can_load = cursor.fetchone() == (1,)
    connection._read_timeout = connection._write_timeout = limits.statement or limits.silence


def _open(connection: Connection, settings: DatabaseSettings) -> None:
    """Opens it. What no server refuses, such as an impossible host or words of another protocol, is a wrong setting."""
    try:
        connection.connect()
    except pymysql.OperationalError as error:
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, ssl.SSLError):
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"no TLS with it: {cause}") from error
        raise
    except pymysql.MySQLError:
        raise
    except Exception as error:  # the driver reads a greeting of another protocol into any error
        where = f"unix_socket = {settings.unix_socket!r}" if settings.unix_socket else f"host = {settings.host!r}"
        raise ConfigError(f"[database] {where} cannot be connected to as this user: {error!r}") from error


def needs_tls(settings: DatabaseSettings) -> bool:
    """Whether connections are encrypted: by default those that leave this host."""
    if settings.unix_socket or settings.ssl == "off":
        return False
    return settings.ssl == "required" or not is_loopback(settings.host)


def tls_context(settings: DatabaseSettings) -> ssl.SSLContext | None:
    """None when no TLS is needed: preparing it costs 70 ms."""
    return _tls_context(settings.ssl_ca, settings.ssl_verify) if needs_tls(settings) else None


@lru_cache(maxsize=8)
def _tls_context(ca: str, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[database] ssl_ca = {ca!r} cannot be used: {error}") from error
    # Certificates that MariaDB makes for itself lack what Python 3.13 and newer insist on.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def close_connection(connection: Connection) -> None:
    """Closes it, whatever state it is in."""
    try:
        connection.close()
    except pymysql.MySQLError:
        connection.break_off()


@contextmanager
def translated_errors(settings: DatabaseSettings, section: str = "database") -> Iterator[None]:
    """Translates the driver's errors in code with its own connection; of a chain of errors it reports the first."""
    try:
        yield
    except DRIVER_ERRORS as error:
        first: BaseException = error
        while isinstance(first.__context__, pymysql.MySQLError):
            first = first.__context__
        assert isinstance(first, Exception)
        raise translate(first, settings, section) from error

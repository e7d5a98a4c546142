"""The only module that knows the driver: connections, transactions, error translation, retry.

Every thread has its own connection, in autocommit (so that readers hold no snapshot); a transaction is explicit.
A connection that failed is closed and never reused: a new connection starts a new transaction from its first statement.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import pymysql
import tenacity
from pymysql.constants import CLIENT

from ingestd.config import DatabaseSettings
from ingestd.errors import (
    ConfigError,
    DatabaseContention,
    DatabaseRefused,
    DatabaseUnavailable,
    DataRefused,
    IngestdError,
)
from ingestd.store.values import ENCODERS

T = TypeVar("T")

SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',"
    " tx_isolation = 'READ-COMMITTED', innodb_lock_wait_timeout = 5, idle_transaction_timeout = 60"
)
CONTENTION = {1205, 1213, 1020, 1062, 1969, 3024}
UNAVAILABLE = {0, 1040, 1042, 1047, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1180, 1290, 1317, 1927, 2002, 2003, 2005}
UNAVAILABLE |= {2006, 2013, 2014, 2026, 2055}
DATA = {1048, 1153, 1264, 1292, 1366, 1406, 1452, 3140, 4025, 4038, 4039}
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 120
KILLS_BEFORE_BLAME, CONTENTION_TRIES, OUTAGE_TRIES = 2, 30, 3


class Tx:
    """An open transaction, or (in `Database.read`) an autocommit connection. For one thread only."""

    def __init__(self, connection: "pymysql.connections.Connection[Any]") -> None:
        self.connection = connection


class Database:
    """Runs work in transactions on this thread's own connection.

    `errors` counts errors by kind. `available_since` is the monotonic time at which the last outage ended, None during
    an outage; `had_outage` says whether there was one. `on_failure` is called after each failed attempt.
    """

    def __init__(self, settings: DatabaseSettings, *, statement_seconds: float | None = None) -> None:
        """`statement_seconds` limits each statement, in client and server; for readers that must not hang."""
        self._settings = settings
        self._statement_seconds = statement_seconds
        self._local = threading.local()
        self._lock = threading.Lock()
        self.errors = dict.fromkeys(("deadlock", "lock_wait", "connection", "timeout", "other"), 0)
        self.available_since: float | None = None
        self.had_outage = False
        self.on_failure: Callable[[], None] = lambda: None

    def transaction(
        self,
        work: Callable[[Tx], T],
        *,
        was_committed: Callable[[Tx, T], bool] | None = None,
        keep_waiting: Callable[[], bool] = lambda: False,
    ) -> T:
        """Runs `work` in one transaction and commits. Runs all of it again, with jitter, if the server aborted it.

        When the reply to COMMIT is lost, `was_committed` is asked on a new connection whether the work with this
        result was committed; without it, the work runs again. During an outage the transaction is tried again as long
        as `keep_waiting()` is true; otherwise DatabaseUnavailable is raised after a few attempts. Raises DataRefused
        for bad values, also if they broke two connections in a row.
        """
        attempt = _Attempt(self, work, was_committed)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: attempt.should_retry(e, keep_waiting)),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=2.0),
            reraise=True,
        )
        return retrying(attempt.run)

    def read(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`, which only reads, in autocommit; once more when the idle connection had been closed."""
        for last in (False, True):
            try:
                result = work(Tx(self.connection()))
                self._note_available()
                return result
            except pymysql.MySQLError as error:
                translated = self.translate(error)
                if last or not isinstance(translated, DatabaseUnavailable):
                    raise translated from error
        raise AssertionError("unreachable")

    def connection(self) -> "pymysql.connections.Connection[Any]":
        """This thread's connection; a new one if it has none."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            try:
                connection.close()
            except pymysql.MySQLError:
                connection._force_close()

    def _connect(self) -> "pymysql.connections.Connection[Any]":
        try:
            user, password, name = self._settings.user, self._settings.password(), self._settings.name
            connection = connect(self._settings, user, password, name, self._statement_seconds)
        except pymysql.MySQLError as error:
            raise self.translate(error) from error
        self._note_available()
        return connection

    def _note_available(self) -> None:
        """Records that the database answered, whichever thread and connection it answered on."""
        if self.available_since is None:
            with self._lock:
                self.available_since = self.available_since or time.monotonic()

    def translate(self, error: pymysql.MySQLError) -> IngestdError:
        """Our error for a driver's error; counts it, and closes a connection that must not be used again."""
        translated = translate(error, self._settings)
        self._count(error, translated)
        self.on_failure()
        if isinstance(translated, DatabaseUnavailable):
            with self._lock:
                self.available_since, self.had_outage = None, True
            connection = getattr(self._local, "connection", None)
            self._local.connection = None
            if connection is not None:
                connection._force_close()
        return translated

    def _count(self, error: pymysql.MySQLError, translated: IngestdError) -> None:
        kind = {1213: "deadlock", 1205: "lock_wait", 1969: "timeout", 3024: "timeout"}.get(errno_of(error), "other")
        if isinstance(translated, DatabaseUnavailable):
            kind = "connection"
        with self._lock:
            self.errors[kind] += 1


class _Attempt(Generic[T]):
    """One transaction over all its attempts; remembers what it needs to blame the data or to resolve a COMMIT.

    `_in_doubt` holds the result of an attempt whose COMMIT was not answered, in a tuple of one.
    """

    def __init__(self, db: Database, work: Callable[[Tx], T], was_committed: Callable[[Tx, T], bool] | None) -> None:
        self._db, self._work, self._was_committed = db, work, was_committed
        self._in_doubt: tuple[T] | None = None
        self._executing = False
        self._kills = 0
        self._outages = 0
        self._contentions = 0

    def run(self) -> T:
        try:
            if self._in_doubt and self._was_committed:
                (result,) = self._in_doubt
                if self._was_committed(Tx(self._db.connection()), result):
                    return result
                self._in_doubt = None
            return self._once()
        except pymysql.MySQLError as error:
            raise self._db.translate(error) from error

    def _once(self) -> T:
        connection = self._db.connection()
        connection.begin()
        self._executing = True
        try:
            result = self._work(Tx(connection))
        except BaseException:
            self._roll_back(connection)
            raise
        self._executing = False
        self._in_doubt = (result,)
        try:
            connection.commit()
        except BaseException:
            # Whether it was committed or not: a later transaction must not find this one open and commit it.
            self._db.close()
            raise
        return result

    def _roll_back(self, connection: "pymysql.connections.Connection[Any]") -> None:
        try:
            connection.rollback()
        except pymysql.MySQLError:
            self._db.close()

    def should_retry(self, error: BaseException, keep_waiting: Callable[[], bool]) -> bool:
        """Whether to run it again after `error`. Raises DataRefused when the data kills connections."""
        executing, self._executing = self._executing, False
        if isinstance(error, DatabaseContention):
            self._contentions += 1
            return self._contentions < CONTENTION_TRIES
        if not isinstance(error, DatabaseUnavailable):
            return False
        killed = executing and error.broke
        self._kills = self._kills + 1 if killed else 0
        if self._kills >= KILLS_BEFORE_BLAME:
            raise DataRefused(f"a statement broke {self._kills} connections in a row: {error}") from error
        self._outages += 1
        return self._outages < OUTAGE_TRIES or keep_waiting()


def connect(
    settings: DatabaseSettings, user: str, password: str, name: str | None, statement_seconds: float | None = None
) -> "pymysql.connections.Connection[Any]":
    """A new connection in autocommit, with the session settings that every part of ingestd relies on."""
    patience = statement_seconds or READ_TIMEOUT
    connection: pymysql.connections.Connection[Any] = pymysql.connect(
        unix_socket=settings.unix_socket or None,
        host=settings.host,
        port=settings.port,
        user=user,
        password=password,
        database=name,
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.FOUND_ROWS,
        connect_timeout=min(CONNECT_TIMEOUT, patience),
        read_timeout=patience,
        write_timeout=patience,
        local_infile=False,
        # Preparing TLS costs 70 ms a connection, and a socket in the file system has no use for it.
        ssl_disabled=bool(settings.unix_socket),
    )
    try:
        _prepare(connection, statement_seconds)
    except BaseException:
        connection._force_close()  # type: ignore[attr-defined]
        raise
    return connection


def _prepare(connection: "pymysql.connections.Connection[Any]", statement_seconds: float | None) -> None:
    connection.encoders = {**connection.encoders, **ENCODERS}
    with connection.cursor() as cursor:
        cursor.execute(SESSION)
        if statement_seconds:
            cursor.execute("SET SESSION max_statement_time = %s", (0.8 * statement_seconds,))  # before we give up


def errno_of(error: pymysql.MySQLError) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def translate(error: pymysql.MySQLError, settings: DatabaseSettings) -> IngestdError:
    """Our error for a driver's error, with a sentence that says where and what to do."""
    errno, where = errno_of(error), settings.unix_socket or f"{settings.host}:{settings.port}"
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if errno in CONTENTION:
        return DatabaseContention(f"{text} ({errno})")
    if not errno and isinstance(error, pymysql.ProgrammingError):
        return DataRefused(f"the driver refuses the values: {text}")
    if errno in UNAVAILABLE:
        return DatabaseUnavailable(
            f"the database at {where} is out of reach: {text} ({errno})", broke=errno in (2006, 2013)
        )
    if errno in DATA:
        return DataRefused(f"the database refuses the values: {text} ({errno})")
    if errno in (1044, 1045, 1698):
        return ConfigError(f"the database at {where} refuses user {settings.user!r}: {text}; see [database] user")
    if errno in (1049, 1146, 1054):
        return DatabaseRefused(f"the schema is missing or too old: {text}; run `ingestd migrate`")
    return DatabaseRefused(f"the database at {where} refuses: {text} ({errno})")


@contextmanager
def translated_errors(settings: DatabaseSettings) -> Iterator[None]:
    """Translates the driver's errors in code with its own connection; of a chain of errors it reports the first."""
    try:
        yield
    except pymysql.MySQLError as error:
        first = error
        while isinstance(first.__context__, pymysql.MySQLError):
            first = first.__context__
        raise translate(first, settings) from error

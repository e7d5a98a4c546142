"""Brings the schema up to date: the plain SQL files of sql/migrations, applied once each, in order."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from yoyo import exceptions, read_migrations
from yoyo.backends.core.mysql import MySQLBackend
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from ingestd.config import Settings, read_password
from ingestd.errors import DatabaseUnavailable
from ingestd.store.connection import Connection, Limits, connect, translated_errors
from ingestd.store.sql import SQL_FOLDER

LOCK_SECONDS = 60
LIMITS = Limits(lock=LOCK_SECONDS, silence=86400.0)


def migrate(settings: Settings, *, is_alone: bool = False) -> list[str]:
    """Applies missing migrations; returns their names. Safe to run from several hosts at once.

    `is_alone`: no other host can reach this server, so that a lock in its tables is what an interrupted run left.
    """
    section = "migrate" if settings.migrate.user else "database"
    open_connection = partial(_connect, settings)
    with translated_errors(settings.database, section), _one_at_a_time(open_connection):
        backend = _backend(settings.database.name, open_connection)
        if is_alone:
            backend.break_lock()
        return _apply(backend)


def _connect(settings: Settings) -> Connection:
    """A connection of the account that may change the schema, with the session that the daemon has."""
    user, password = _account(settings)
    return connect(settings.database, user, password, settings.database.name, LIMITS)


def _account(settings: Settings) -> tuple[str, str]:
    if settings.migrate.user:
        return settings.migrate.user, read_password(settings.migrate.password_file)
    return settings.database.user, settings.database.password()


def _backend(name: str, open_connection: Callable[[], Connection]) -> MySQLBackend:
    """yoyo on connections of ours: its own know neither IPv6 nor every password, and have the server's sql_mode."""

    class Backend(MySQLBackend):  # type: ignore[misc]
        def connect(self, _dburi: object) -> Connection:
            return open_connection()

    backend = Backend(parse_uri(f"mysql:///{name}"), default_migration_table)
    backend.init_database()
    return backend


def _apply(backend: MySQLBackend) -> list[str]:
    migrations = read_migrations(str(SQL_FOLDER / "migrations"))
    try:
        with closing(backend.connection), backend.lock(timeout=LOCK_SECONDS):
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
    except exceptions.LockTimeout as error:
        raise DatabaseUnavailable(
            "another host has been migrating for a minute, or one died doing it; if no `ingestd migrate` runs"
            " anywhere, delete the row in table yoyo_lock and run it again"
        ) from error
    return [migration.id for migration in missing]


@contextmanager
def _one_at_a_time(open_connection: Callable[[], Connection]) -> Iterator[None]:
    """Holds a server-side lock that ends with its connection; yoyo's lock table does not exist before the first run."""
    connection = open_connection()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(CONCAT('ingestd.migrate.', DATABASE()), %s)", (LOCK_SECONDS,))
            if cursor.fetchone() != (1,):
                raise DatabaseUnavailable("another `ingestd migrate` has been running for a minute; try again later")
            # yoyo mistakes a refused account for a held lock and waits a minute; this statement reports it at once.
            cursor.execute("CREATE TABLE IF NOT EXISTS _ingestd_migrating (id INT)")
            cursor.execute("DROP TABLE IF EXISTS _ingestd_migrating")
        yield
    finally:
        connection.close()

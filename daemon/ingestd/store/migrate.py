"""Brings the schema up to date: the plain SQL files of sql/migrations, applied once each, in order."""

import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

from yoyo import exceptions, get_backend, read_migrations

from ingestd.config import Settings, read_secret
from ingestd.errors import DatabaseRefused, DatabaseUnavailable
from ingestd.store.db import connect, translated_errors
from ingestd.store.sql import SQL_FOLDER

LOCK_SECONDS = 60


def migrate(settings: Settings) -> list[str]:
    """Applies missing migrations; returns their names. Safe to run from several hosts at once."""
    user, password = _account(settings)
    with translated_errors(settings.database), _one_at_a_time(settings, user, password), warnings.catch_warnings():
        # yoyo passes the driver `db`, which PyMySQL calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _apply(_uri(settings, user, password))


def _account(settings: Settings) -> tuple[str, str]:
    if settings.migrate.user:
        return settings.migrate.user, read_secret(settings.migrate.password_file)
    return settings.database.user, settings.database.password()


def _apply(uri: str) -> list[str]:
    backend = get_backend(uri)
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
def _one_at_a_time(settings: Settings, user: str, password: str) -> Iterator[None]:
    """Holds a server-side lock that ends with its connection; yoyo's lock table does not exist before the first run."""
    connection = connect(settings.database, user, password, settings.database.name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(CONCAT('ingestd.migrate.', DATABASE()), %s)", (LOCK_SECONDS,))
            if cursor.fetchone() != (1,):
                raise DatabaseRefused("another `ingestd migrate` has been running for a minute; try again later")
            # yoyo mistakes a refused account for a held lock and waits a minute; this statement reports it at once.
            cursor.execute("CREATE TABLE IF NOT EXISTS _ingestd_migrating (id INT)")
            cursor.execute("DROP TABLE IF EXISTS _ingestd_migrating")
        yield
    finally:
        connection.close()


def _uri(settings: Settings, user: str, password: str) -> str:
    database = settings.database
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    where = f"?unix_socket={quote(database.unix_socket, safe='')}" if database.unix_socket else ""
    host = "localhost" if database.unix_socket else f"{database.host}:{database.port}"
    return f"mysql://{login}@{host}/{database.name}{where}"

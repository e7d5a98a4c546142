"""The daemon's account, with the rights of sql/grants.sql, on one connection that keeps what its session sets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pymysql

from ingestd.config import DatabaseSettings

Do = Callable[..., list[tuple[object, ...]]]


@contextmanager
def connected(settings: DatabaseSettings) -> Iterator[Do]:
    """A function that runs a statement, and returns its rows."""
    connection = pymysql.connect(
        unix_socket=settings.unix_socket, user=settings.user, database=settings.name, autocommit=True,
        ssl_disabled=True,
    )  # fmt: skip

    def do(statement: str, *values: object) -> list[tuple[object, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    try:
        yield do
    finally:
        connection.close()

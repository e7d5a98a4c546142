"""Rows that another client holds."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql

from support.world import World

LOCK_WAITS = (
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'"
)
"""how many transactions wait for rows; `innodb_trx` stays as it is while it is looked at all the time"""


@contextmanager
def holding(world: World, statement: str, *values: Any) -> Iterator[Any]:
    """A cursor of another client that holds what a statement locks; its transaction is committed at the end."""
    owner = world.server.owner_settings()
    other = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name, ssl_disabled=True)
    with closing(other), other.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # else it holds whatever it looks at
        cursor.execute(statement, values)
        yield cursor
        other.commit()

"""Writes many rows by LOAD DATA LOCAL where the server allows it, else by INSERT.

LOCAL makes warnings of what INSERT refuses, and leaves rows out. So whatever is not perfect is undone, and the INSERT
is left to say what is wrong: its errors are the same everywhere.
"""

from collections.abc import Callable
from typing import Any

from ingestd.store.attempts import Tx
from ingestd.store.server_errors import DRIVER_ERRORS, number_of
from ingestd.store.sql import Queries
from ingestd.store.values import Rows

_sql = Queries("bulk")

MIN_LOADED = 100
"""Rows that are worth the statements around it."""
NOT_ALLOWED = frozenset({1148, 4166})
"""The server allows no LOCAL any more."""


def write(tx: Tx, rows: Rows, *, insert: Callable[..., Any], load: Callable[..., int]) -> None:
    """Writes rows by one of two queries into the same columns: `insert` takes them as :rows, `load` as its file."""
    if len(rows) < MIN_LOADED or not tx.connection.can_load or not _load(tx, rows, load):
        insert(tx.connection, rows=rows)


def _load(tx: Tx, rows: Rows, load: Callable[..., int]) -> bool:
    """Whether all rows were written as they are; none is otherwise."""
    connection = tx.connection
    _sql.begin(connection)
    try:
        with connection.offering(rows.lines):
            written = load(connection)
    except DRIVER_ERRORS as error:
        if number_of(error) not in NOT_ALLOWED:
            raise
        connection.can_load = False
        return False
    if written == len(rows) and not connection.warning_count:
        return True
    _sql.undo(connection)
    return False

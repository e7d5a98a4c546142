"""Writes many rows by LOAD DATA LOCAL where the server allows it, else by INSERT.

LOCAL makes warnings of what INSERT refuses, and leaves rows out. Then the whole transaction runs again without it, and
the INSERT is left to say what is wrong: its errors are the same everywhere. A savepoint would cost all those that load
two more statements.
"""

from collections.abc import Callable
from typing import Any

from ingestd.store.attempts import RowsLeftOut, Tx
from ingestd.store.server_errors import DRIVER_ERRORS, is_unknown, number_of
from ingestd.store.values import Rows

MIN_LOADED = 100
"""Rows that are worth a file."""
NOT_ALLOWED = frozenset({1148, 4166})
"""The server allows no LOCAL any more."""


def write(tx: Tx, rows: Rows, *, insert: Callable[..., Any], load: Callable[..., int]) -> None:
    """Writes rows by one of two queries into the same columns: `insert` takes them as :rows, `load` as its file.

    Raises RowsLeftOut if `load` did not write all of them.
    """
    if len(rows) < MIN_LOADED or not tx.may_load or not _load(tx, rows, load):
        insert(tx.connection, rows=rows)


def _load(tx: Tx, rows: Rows, load: Callable[..., int]) -> bool:
    """Whether the server still takes rows so.

    A proxy before it may refuse what the server allows, with any number: then the INSERT shows whether that is all.
    """
    connection = tx.connection
    try:
        with connection.offering(rows.lines):
            written = load(connection)
    except DRIVER_ERRORS as error:
        is_refused = number_of(error) in NOT_ALLOWED
        if not (is_refused or is_unknown(error)):
            raise
        connection.can_load = tx.may_load = False
        if is_refused:
            return False
        raise RowsLeftOut from error
    if written != len(rows) or connection.warning_count:
        raise RowsLeftOut
    return True

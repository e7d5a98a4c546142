"""The database for those who look on: they wait for it a little, and not one after another."""

import time
from collections.abc import Callable
from typing import TypeVar

from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseUnavailable
from ingestd.store.db import Database, Tx

T = TypeVar("T")

STATEMENT_SECONDS = 5.0
"""how long a statement may take, and how long a database that says nothing is waited for"""
SPARED_SECONDS = 5.0


class Readers(Database):
    """Has connections of its own. When the database was out of reach for one, all others are told so at once for a
    while: pages that read again and again must not hold every thread that answers, health included."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings, statement_seconds=STATEMENT_SECONDS)
        self._spared: tuple[float, DatabaseUnavailable | None] = (0.0, None)

    def read(self, work: Callable[[Tx], T]) -> T:
        until, told = self._spared
        if told is not None and time.monotonic() < until:
            raise DatabaseUnavailable(str(told))
        try:
            return super().read(work)
        except DatabaseUnavailable as error:
            self._spared = (time.monotonic() + SPARED_SECONDS, error)
            raise

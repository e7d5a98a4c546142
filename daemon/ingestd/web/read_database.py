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
BREAKER_SECONDS = 5.0


class ReadDatabase(Database):
    """Has connections of its own. When the database was out of reach for one, all others are told so at once for a
    while: pages that read again and again must not hold every thread that answers, health included."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings, statement_seconds=STATEMENT_SECONDS)
        self._breaker = (0.0, "")

    def read(self, work: Callable[[Tx], T]) -> T:
        until, told = self._breaker
        if told and time.monotonic() < until:
            raise DatabaseUnavailable(told)
        try:
            return super().read(work)
        except DatabaseUnavailable as error:
            # Not the error itself, which would keep alive all that was in hand when it was raised.
            self._breaker = (time.monotonic() + BREAKER_SECONDS, str(error))
            raise

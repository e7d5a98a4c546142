"""Read-only database handle with short timeouts and a circuit breaker."""

import time
from collections.abc import Callable
from typing import TypeVar

from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseUnavailable
from ingestd.store.attempts import KeepWaiting
from ingestd.store.connection import Limits
from ingestd.store.db import Database, Tx

T = TypeVar("T")

STATEMENT_SECONDS = 5.0
"""Time limit of a statement, and of waiting for a server that does not respond."""
BREAKER_SECONDS = 5.0


class ReadDatabase(Database):
    """A database with its own connections. After an outage, reads fail immediately for BREAKER_SECONDS.

    Otherwise pages that refresh would occupy every HTTP thread, including those for health checks.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings, Limits(statement=STATEMENT_SECONDS))
        self._breaker = (0.0, "")

    def read(self, work: Callable[[Tx], T], *, keep_waiting: KeepWaiting = None) -> T:
        until, message = self._breaker
        if message and time.monotonic() < until:
            raise DatabaseUnavailable(message)
        try:
            return super().read(work, keep_waiting=keep_waiting)
        except DatabaseUnavailable as error:
            # Only the message: the error would keep the frames of its traceback alive.
            self._breaker = (time.monotonic() + BREAKER_SECONDS, str(error))
            raise

"""The pool of connections, on which threads run their reads and transactions.

Connections are in autocommit (so that readers hold no snapshot); a transaction is explicit. A connection that failed is
closed and never reused: a new connection starts a new transaction from its first statement.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ingestd.config import DatabaseSettings
from ingestd.errors import ConfigError, DatabaseRefused, DatabaseUnavailable, IngestdError
from ingestd.store.attempts import KeepWaiting, Read, Transaction, Tx
from ingestd.store.connection import (
    DEFAULT_LIMITS,
    Connection,
    Limits,
    close_connection,
    new_connection,
    open_connection,
)
from ingestd.store.cuts import Look, look
from ingestd.store.server_errors import DRIVER_ERRORS, kind_of, translate

__all__ = ["Database", "Tx"]

T = TypeVar("T")

PATIENCE = 30.0
"""seconds that a caller without `keep_waiting` waits for others to let go"""


class Database:
    """Runs work on connections that its threads share: each has one for as long as one read or transaction takes.

    `errors` counts errors by kind. `available_since` is the monotonic time at which the last outage ended, None during
    an outage; `had_outage` says whether there was one. `on_failure` is called after each failed attempt. `loads`: its
    connections write many rows at once.
    """

    def __init__(self, settings: DatabaseSettings, limits: Limits = DEFAULT_LIMITS, *, loads: bool = False) -> None:
        self._settings, self._limits, self._loads = settings, limits, loads
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._owner: int | None = None
        self.errors = dict.fromkeys(("deadlock", "lock_wait", "connection", "timeout", "other"), 0)
        self.available_since: float | None = None
        self.had_outage = False
        self.on_failure: Callable[[], None] = lambda: None

    def transaction(
        self, work: Callable[[Tx], T], *, keep_waiting: KeepWaiting = None, keep_asking: KeepWaiting = None
    ) -> T:
        """Runs `work` in one transaction and commits. Runs all of it again if something stood in its way.

        That goes on as long as `keep_waiting()` is true; otherwise DatabaseUnavailable is raised after a while. When
        the reply to COMMIT is lost, the receipt of the transaction says whether it was committed; without one, `work`
        runs again. `keep_asking()`, by default `keep_waiting()`, is asked instead until the receipt could be read.
        Raises DataRefused for bad values, DataSuspected if the server ends connections over them.
        """
        return Transaction(self, work, keep_asking=keep_asking).until_done(keep_waiting)

    def transaction_at_once(self, work: Callable[[Tx], T]) -> T:
        """As `transaction`, but waits for no row that others hold. Raises DatabaseContention then.

        For sweeps, which have others to look at meanwhile, and come again.
        """
        return Transaction(self, work, at_once=True).until_done(lambda: False)

    def read(self, work: Callable[[Tx], T], *, keep_waiting: KeepWaiting = None) -> T:
        """Runs `work`, which only reads, in autocommit. Waits as `transaction` does."""
        return Read(self, work).until_done(keep_waiting)

    @property
    def patience(self) -> float:
        """Seconds that a caller without `keep_waiting` waits."""
        return self._limits.statement or PATIENCE

    @property
    def lock_seconds(self) -> int:
        """Seconds that the server waits for one row."""
        return self._limits.lock

    # connections

    def connection(self) -> Connection:
        """The connection that the next read or transaction will use."""
        connection, _ = self.borrow()
        self.give_back(connection)
        return connection

    def borrow(self) -> tuple[Connection, bool]:
        """A connection for this thread alone, and whether it is new."""
        with self._lock:
            if self._owner is not None and self._owner != threading.get_ident():
                raise DatabaseUnavailable("the connections to the database are closed, because the daemon is stopping")
            if self._idle:
                connection = self._idle.pop()
                self._busy.add(connection)
                return connection, False
        return self._connect(), True

    def give_back(self, connection: Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if connection.open and self._owner is None:
                self._idle.append(connection)
                return
        close_connection(connection)

    def drop(self, connection: Connection | None) -> None:
        """Closes a connection that must not be used again."""
        if connection is None:
            return
        with self._lock:
            self._busy.discard(connection)
        connection.break_off()

    def close(self) -> None:
        """Closes the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            close_connection(connection)

    def interrupt(self, limits: Limits) -> list[int]:
        """Ends what all other threads do in the database. From then on only this thread may use it, with `limits`.

        Returns the ids of their connections at the server, which still runs a statement until it is killed.
        """
        with self._lock:
            self._owner, self._limits = threading.get_ident(), limits
            busy = list(self._busy)
        self.close()
        for connection in busy:
            connection.interrupt()
        return [connection.number for connection in busy if connection.number is not None]

    def _connect(self) -> Connection:
        settings, limits = self._settings, self._limits
        try:
            connection = new_connection(
                settings, settings.user, settings.password(), settings.name, limits, loads=self._loads
            )
            with self._lock:
                self._busy.add(connection)
            try:
                open_connection(connection, settings, limits, loads=self._loads)
            except BaseException:
                self.drop(connection)
                raise
        except ConfigError as error:
            raise DatabaseRefused(str(error)) from error
        self.note_available()
        return connection

    # errors

    def look(self) -> Look | None:
        """What the server says of itself on a new connection; None if it ends that, too, or takes none."""
        connection: Connection | None = None
        try:
            connection = self._connect()
            seen = look(connection)
        except (*DRIVER_ERRORS, DatabaseUnavailable):
            self.drop(connection)
            return None
        self.give_back(connection)
        return seen

    def translate(self, error: Exception) -> IngestdError:
        """Our error for a driver's error, which it counts."""
        self.count(error)
        self.on_failure()
        return translate(error, self._settings)

    def count(self, error: Exception) -> None:
        with self._lock:
            self.errors[kind_of(error)] += 1

    def note_outage(self) -> None:
        """Records that the database cannot be used, whichever thread noticed it."""
        with self._lock:
            self.available_since, self.had_outage = None, True

    def note_available(self) -> None:
        """Records that the database answered, whichever thread and connection it answered on."""
        if self.available_since is None:
            with self._lock:
                self.available_since = self.available_since or time.monotonic()

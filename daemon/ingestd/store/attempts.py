"""One read or transaction over all its attempts: what to do about an error, and for how long.

An error about the moment is waited out. Values are blamed for what was tried with them, never for the time it took.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from ingestd.backoff import backoff
from ingestd.errors import (
    DatabaseContention,
    DatabaseRefused,
    DatabaseUnavailable,
    DataRefused,
    IngestdError,
)
from ingestd.store.connection import Connection
from ingestd.store.cuts import Cuts
from ingestd.store.server_errors import DRIVER_ERRORS, is_cut, number_of

if TYPE_CHECKING:
    from ingestd.store.db import Database

log = structlog.get_logger()

T = TypeVar("T")

Receipt = Callable[["Tx"], bool]
KeepWaiting = Callable[[], bool] | None
"""whether a caller goes on waiting; None: for a fixed time, as people do who wait for a command"""

DUPLICATES_BEFORE_BLAME, OUTAGE_TRIES = 5, 3
FIRST_PAUSE, MAX_PAUSE, PAUSE_STEP = 0.04, 3.0, 0.25
FIRST_NOTICE, NOTICE_INTERVAL = 10.0, 60.0


def never() -> bool:
    """For callers that do not go on waiting for what others hold."""
    return False


class RowsLeftOut(Exception):
    """LOAD DATA did not write all rows as they are: the transaction runs again, and says by INSERT what is wrong."""


class Tx:
    """An open transaction, or (in `Database.read`) an autocommit connection. For one thread only.

    `receipt` answers, on another connection, whether this transaction was committed. The function that
    writes a row which shows that sets it. It is asked when the reply to COMMIT is lost. `may_load`: by LOAD DATA, too.
    """

    __slots__ = ("connection", "may_load", "receipt")

    def __init__(self, connection: Connection, *, may_load: bool = False) -> None:
        self.connection, self.may_load = connection, may_load and connection.can_load
        self.receipt: Receipt | None = None


class Stage(Enum):
    """How far an attempt has come."""

    BEGINNING = "beginning"
    WORKING = "working"
    COMMITTING = "committing"


class Attempt(Generic[T]):
    """What reads and transactions share."""

    def __init__(self, db: "Database", work: Callable[[Tx], T]) -> None:
        self._db, self._work = db, work
        self._stage = Stage.BEGINNING
        self._started = time.monotonic()
        self._tries = self._duplicates = 0
        self._cuts = Cuts(db)
        self._pauses = backoff(FIRST_PAUSE, MAX_PAUSE)
        self._notice_at = self._started + FIRST_NOTICE

    def until_done(self, keep_waiting: KeepWaiting) -> T:
        while True:
            try:
                return self._run()
            except DatabaseUnavailable as error:
                waits = self._patience(keep_waiting)
                pause = self._pause_after(error, waits)
            _sleep(pause, waits)

    def _patience(self, keep_waiting: KeepWaiting) -> KeepWaiting:
        return keep_waiting

    def _run(self) -> T:
        self._stage, connection, is_fresh = Stage.BEGINNING, None, True
        try:
            connection, is_fresh = self._db.borrow()
            result = self._use(connection)
        except DRIVER_ERRORS as error:
            if self._stage is Stage.BEGINNING and is_cut(error) and not is_fresh:
                return self._run_again(error, connection)
            raise self._understand(error, connection) from error
        except BaseException:
            self._abandon(connection)
            raise
        self._db.give_back(connection)
        if self._db.available_since is None:
            self._db.note_available()
        return result

    def _use(self, connection: Connection) -> T:
        raise NotImplementedError

    def _run_again(self, error: Exception, connection: Connection | None) -> T:
        """Runs it on a new connection: the idle one had been ended, which is not an outage. Others may have, too."""
        self._db.count(error)
        self._db.drop(connection)
        self._db.close()
        return self._run()

    def _understand(self, error: Exception, connection: Connection | None) -> IngestdError:
        """Our error for it. Only contention leaves the connection usable, and is not an outage."""
        translated = self._db.translate(error)
        if isinstance(translated, DataRefused) and number_of(error) and self._stage is not Stage.WORKING:
            # Reads and COMMIT try no values, so that nothing is blamed on values.
            translated = DatabaseUnavailable(str(translated))
        self._cuts.note(error, connection if self._stage is Stage.WORKING else None)
        if isinstance(translated, DatabaseContention | DataRefused):
            self._abandon(connection)
            return translated
        self._db.drop(connection)
        self._db.note_outage()
        return translated

    def _abandon(self, connection: Connection | None) -> None:
        """Ends the open transaction, if any. One that may be committing must not be found open by a later one."""
        if connection is None or self._stage is Stage.COMMITTING:
            self._db.drop(connection)
            return
        try:
            connection.rollback()
        except DRIVER_ERRORS:
            self._db.drop(connection)
        else:
            self._db.give_back(connection)

    def _pause_after(self, error: DatabaseUnavailable, keep_waiting: KeepWaiting) -> float:
        """Seconds until the next attempt. Raises the error if there is to be none, DataRefused if values caused it."""
        self._tries += 1
        self._blame(error)
        if self._is_enough(error, keep_waiting):
            raise self._final(error)
        self._notice(error)
        return random.uniform(0.5, 1.0) * next(self._pauses)

    def _blame(self, error: DatabaseUnavailable) -> None:
        """Raises DataRefused for values that end connections, or that a UNIQUE key refuses again and again."""
        is_duplicate = isinstance(error, DatabaseContention) and error.is_duplicate
        self._duplicates = self._duplicates + 1 if is_duplicate else 0
        if self._duplicates >= DUPLICATES_BEFORE_BLAME:
            raise DataRefused(f"the database refuses the values: {error}") from error
        self._cuts.blame(error)

    def _is_enough(self, error: DatabaseUnavailable, keep_waiting: KeepWaiting) -> bool:
        """Whether this was the last attempt. Others let go of locks soon, so that those are worth more attempts."""
        if keep_waiting is not None and keep_waiting():
            return False
        if isinstance(error, DatabaseRefused) or time.monotonic() - self._started >= self._db.patience:
            return True
        is_short = isinstance(error, DatabaseContention) and keep_waiting is None
        return self._tries >= OUTAGE_TRIES and not is_short

    def _final(self, error: DatabaseUnavailable) -> DatabaseUnavailable:
        return error

    def _notice(self, error: DatabaseUnavailable) -> None:
        if time.monotonic() >= self._notice_at:
            self._notice_at = time.monotonic() + NOTICE_INTERVAL
            log.warning("database_waiting", reason=str(error), tries=self._tries)


class Read(Attempt[T]):
    """Statements that only read."""

    def _use(self, connection: Connection) -> T:
        return self._work(Tx(connection))


class Transaction(Attempt[T]):
    """A transaction. `_in_doubt` holds the result and the receipt of an attempt whose COMMIT was not answered."""

    _in_doubt: tuple[T, Receipt | None] | None = None

    def __init__(
        self, db: "Database", work: Callable[[Tx], T], *, at_once: bool = False, keep_asking: KeepWaiting = None
    ) -> None:
        super().__init__(db, work)
        self._at_once, self._keep_asking = at_once, keep_asking

    def _use(self, connection: Connection) -> T:
        if not self._at_once:
            return self._commit_loading(connection)
        connection.limit_lock_waits(0)
        try:
            return self._commit_loading(connection)
        finally:
            with suppress(*DRIVER_ERRORS):  # the connection is lost then, and not used again
                connection.limit_lock_waits(self._db.lock_seconds)

    def _patience(self, keep_waiting: KeepWaiting) -> KeepWaiting:
        """What was perhaps committed is worth other waits than what can be left undone."""
        return keep_waiting if self._in_doubt is None else self._keep_asking or keep_waiting

    def _is_enough(self, error: DatabaseUnavailable, keep_waiting: KeepWaiting) -> bool:
        return (self._at_once and isinstance(error, DatabaseContention)) or super()._is_enough(error, keep_waiting)

    def _commit_loading(self, connection: Connection) -> T:
        try:
            return self._commit(connection, may_load=True)
        except RowsLeftOut:
            connection.rollback()
            return self._commit(connection, may_load=False)

    def _commit(self, connection: Connection, *, may_load: bool) -> T:
        if self._in_doubt is not None:
            result, receipt = self._in_doubt
            if receipt is not None and receipt(Tx(connection)):
                return result
            self._in_doubt = None
        connection.begin()
        self._stage = Stage.WORKING
        tx = Tx(connection, may_load=may_load)
        result = self._work(tx)
        self._stage, self._in_doubt = Stage.COMMITTING, (result, tx.receipt)
        connection.commit()
        return result

    def _final(self, error: DatabaseUnavailable) -> DatabaseUnavailable:
        if self._in_doubt is None:
            return error
        return type(error)(f"{error}; whether the change was saved is not known")


def _sleep(seconds: float, keep_waiting: KeepWaiting) -> None:
    """Sleeps, but not beyond the end of the caller's patience."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, PAUSE_STEP))
        if keep_waiting is not None and not keep_waiting():
            return

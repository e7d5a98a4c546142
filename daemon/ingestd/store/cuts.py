"""Connections that the server ended while it ran a statement, and whether that is about the values of the statement.

Operators, proxies and restarts end connections, too. So the values are blamed in two cases only: when the statement is
larger than the server accepts, and when it is cut each time it is sent, in moments in which other statements are not.
"""

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ingestd.errors import DatabaseUnavailable, DataRefused, DataSuspected
from ingestd.store.connection import Connection
from ingestd.store.server_errors import UNSENT, is_closed, number_of

if TYPE_CHECKING:
    from ingestd.store.db import Database

CUTS_BEFORE_BLAME = 3
MAX_SECONDS = 1.0
"""A statement that ran for longer was ended because of the time it took, or was killed: not because of its values."""
QUIET_SECONDS = 0.25
BUFFERED = 1 << 16
"""Bytes that can be sent however fast the other side closes: if they cannot, the connection had ended before."""
LOOK = (
    "SELECT SLEEP(%s), @@max_allowed_packet, (SELECT CAST(VARIABLE_VALUE AS UNSIGNED)"
    " FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME')"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the server says of itself in a moment in which it ends no connections. `started` is monotonic."""

    max_packet: int
    started: float


def look(connection: Connection) -> Look | None:
    """None if the server interrupts even a statement that does nothing. Raises errors of the driver."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK, (QUIET_SECONDS,))
        ((was_interrupted, max_packet, uptime),) = cursor.fetchall()
    return None if was_interrupted else Look(int(max_packet), time.monotonic() - int(uptime))


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut: the digest, size and duration of the statement, and since when (monotonic) the connection was open."""

    digest: bytes
    size: int
    seconds: float
    opened_at: float


class Cuts:
    """The cuts of one transaction that followed one another at the same statement."""

    def __init__(self, db: "Database") -> None:
        self._db, self._count = db, 0
        self._last: Cut | None = None
        self._is_new = False

    def note(self, error: Exception, connection: Connection | None) -> None:
        """Records how an attempt of the transaction failed."""
        cut = None if connection is None else _cut_of(error, connection)
        is_same = cut is not None and self._last is not None and cut.digest == self._last.digest
        self._count = self._count + 1 if is_same else int(cut is not None)
        self._last, self._is_new = cut, cut is not None

    def blame(self, error: DatabaseUnavailable) -> None:
        """Raises DataRefused when the values are known to be the cause, DataSuspected when they seem to be.

        Waits for a moment on another connection; a cut in a moment that is not quiet does not count.
        """
        cut, self._is_new = self._last if self._is_new else None, False
        if cut is None:
            return
        seen = self._db.look()
        if seen is not None and cut.size > seen.max_packet:
            self._refuse(cut, seen, error)
        if seen is None or seen.started > cut.opened_at or cut.seconds > MAX_SECONDS:
            self._count, self._last = 0, None
        elif self._count >= CUTS_BEFORE_BLAME:
            raise DataSuspected(f"the values ended {self._count} connections in a row: {error}") from error

    def _refuse(self, cut: Cut, seen: Look, error: DatabaseUnavailable) -> NoReturn:
        limit = f"max_allowed_packet of the server is {seen.max_packet}"
        raise DataRefused(f"the values make a statement of {cut.size} bytes, but {limit}: {error}") from error


def _cut_of(error: Exception, connection: Connection) -> Cut | None:
    if not is_closed(error):
        return None
    text = connection.statement
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    if number_of(error) == UNSENT and len(data) < BUFFERED:
        return None
    seconds = time.monotonic() - connection.sent_at
    return Cut(hashlib.sha256(data).digest(), len(data) + 1, seconds, connection.opened_at)

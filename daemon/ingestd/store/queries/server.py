"""The database server: its settings, its clock, and the rights of the daemon's account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader

_sql = Queries("queries/server")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Settings of the server that ingestd relies on; `max_allowed_packet` in bytes, `now` naive UTC."""

    version: str
    max_allowed_packet: int
    binlog_format: str
    log_bin: bool
    now: datetime
    local_infile: bool


_facts = RowReader(ServerFacts)


def facts(tx: Tx) -> ServerFacts:
    return _facts(_sql.facts(tx.connection))


def now(tx: Tx) -> datetime:
    """The database's clock, naive UTC."""
    found: datetime = _sql.now(tx.connection)
    return found


def ping(tx: Tx) -> None:
    """Raises when the database does not answer."""
    _sql.ping(tx.connection)


def rights(tx: Tx) -> list[tuple[str | None, str]]:
    """The rights of the daemon's account: (table, privilege); table None: every table."""
    return list(_sql.rights(tx.connection))


def running(tx: Tx, numbers: Sequence[int]) -> list[int]:
    """Which of these connections the server still knows."""
    return [row[0] for row in _sql.running(tx.connection, numbers=tuple(numbers))] if numbers else []


def kill(tx: Tx, number: int) -> None:
    """Ends a connection of this account; the server rolls its transaction back."""
    _sql.kill(tx.connection, number=number)

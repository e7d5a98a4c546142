"""What the daemon sends to the database, from the server's own log of statements."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common import Bench

QUIET = 0.4
"""seconds: sweeps that follow a bundle come within less"""
BEGIN, END = re.compile(r"(BEGIN|START TRANSACTION)\b", re.I), re.compile(r"(COMMIT|ROLLBACK)\b", re.I)
WRITE = re.compile(r"(SET STATEMENT .* FOR )?(INSERT|UPDATE|DELETE|REPLACE|LOAD)\b", re.I)
JOB_ENDS = re.compile(r"UPDATE import_job SET state = 'done'")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and the connection that sent it."""

    connection: int
    text: str


@contextmanager
def logged(world: Bench) -> Iterator[None]:
    """Logs all statements until the end of the block; `sent` reads them then."""
    world.sql("SET GLOBAL log_output = 'TABLE'", "TRUNCATE mysql.general_log", "SET GLOBAL general_log = 1")
    try:
        yield
    finally:
        world.sql("SET GLOBAL general_log = 0")


def wait_until_quiet(world: Bench) -> None:
    """Waits until the daemon has sent nothing for a moment: what follows a bundle belongs to no other."""
    before, now = -1, len(sent(world))
    while now != before:
        time.sleep(QUIET)
        before, now = now, len(sent(world))


def sent(world: Bench) -> list[Statement]:
    """The logged statements of the daemon's account, in order."""
    rows = world.sql(
        "SELECT thread_id, CONVERT(argument USING utf8mb4) FROM mysql.general_log"
        " WHERE command_type IN ('Query', 'Execute') AND user_host LIKE 'ingestd%'"
    )
    return [Statement(connection, " ".join(text.split())) for connection, text in rows]


def until_done(found: list[Statement]) -> list[Statement]:
    """Those up to the one that commits the end of a job."""
    last = max(number for number, one in enumerate(found) if JOB_ENDS.match(one.text))
    ends = (
        number
        for number, one in enumerate(found)
        if number > last and one.connection == found[last].connection and END.match(one.text)
    )
    return found[: next(ends) + 1]


def transactions(found: list[Statement]) -> int:
    """How many transactions begin; a statement that writes outside of one is one of its own."""
    open_ones, count = set(), 0
    for one in found:
        if BEGIN.match(one.text):
            open_ones.add(one.connection)
            count += 1
        elif END.match(one.text):
            open_ones.discard(one.connection)
        elif WRITE.match(one.text) and one.connection not in open_ones:
            count += 1
    return count

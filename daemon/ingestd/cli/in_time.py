"""Waits out an outage of the database or the daemon, for commands that follow something."""

import time
from collections.abc import Callable
from typing import TypeVar

from ingestd.backoff import backoff
from ingestd.cli.output import echo
from ingestd.errors import DaemonUnavailable, DatabaseRefused, DatabaseUnavailable

T = TypeVar("T")

FIRST_PAUSE, MAX_PAUSE, OUTAGE_SECONDS = 0.5, 5.0, 300.0
"""the first and the longest pause, and the longest wait, while nothing answers"""


def in_time(ask: Callable[[], T]) -> T:
    """What `ask` returns; waits out an outage for OUTAGE_SECONDS at most, and says that once."""
    began, is_first = time.monotonic(), True
    for pause in backoff(FIRST_PAUSE, MAX_PAUSE):
        try:
            return ask()
        except (DatabaseUnavailable, DaemonUnavailable) as outage:
            if isinstance(outage, DatabaseRefused) or time.monotonic() - began + pause > OUTAGE_SECONDS:
                raise
            if is_first:
                echo(f"waiting: {outage}")
            is_first = False
        time.sleep(pause)
    raise AssertionError("pauses do not end")

"""Waiting for conditions, never for time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
MIN_PAUSE, MAX_PAUSE = 0.005, 0.05


def until(
    condition: Callable[[], T],
    *,
    seconds: float = PATIENCE,
    what: str | Callable[[], str] = "",
    max_pause: float = MAX_PAUSE,
) -> T:
    """The first true value of `condition`; fails when it stays false.

    `max_pause`: seconds between two looks at most, for what goes on meanwhile and may end.
    """
    deadline, pause = time.monotonic() + seconds, MIN_PAUSE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            described = what() if callable(what) else what
            raise AssertionError(f"waited {seconds:g} s in vain {described or 'for a condition'}; last: {value!r}")
        time.sleep(pause)
        pause = min(1.2 * pause, max_pause)


def stop_event() -> threading.Event:
    """A stop event that is never set."""
    return threading.Event()

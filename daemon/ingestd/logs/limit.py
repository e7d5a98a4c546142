"""What says the same again and again is told a few times, and then how often it was left out."""

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

BURST = 10
WINDOW_SECONDS = 60.0
MAX_WINDOWS = 10_000
IDENTITY = ("service", "sync_id", "job_id", "logger")
NEVER_LIMITED = ("job_",)

Key = tuple[str, ...]
Fields = dict[str, Any]


@dataclass(slots=True)
class _Window:
    """How often one thing was said since it was said first; `closes_at` is monotonic."""

    closes_at: float
    summary: Fields
    count: int = 0


class Limiter:
    """Lets the first `burst` of the same events through in each window. The summary of a window is due when it closes.

    A structlog processor. An error raised at another place is another error, so that the first of each is told.
    """

    def __init__(
        self,
        burst: int = BURST,
        seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        limit: int = MAX_WINDOWS,
    ) -> None:
        self._burst, self._seconds, self._clock, self._limit = burst, seconds, clock, limit
        # Reentrant, because a destructor that warns may run anywhere, also in here.
        self._lock = threading.RLock()
        self._windows: dict[Key, _Window] = {}
        self._closed: list[_Window] = []

    def __call__(self, _logger: Any, _name: str, event_dict: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if not str(event_dict["event"]).startswith(NEVER_LIMITED) and not self._admits(event_dict):
            raise structlog.DropEvent
        return event_dict

    def summaries(self, *, everything: bool = False) -> list[Fields]:
        """What was left out of the windows that have closed since the last call; `everything`: of all."""
        with self._lock:
            self._close(float("inf") if everything else self._clock())
            closed, self._closed = self._closed, []
        return [{**window.summary, "count": window.count - self._burst} for window in closed]

    def _admits(self, event: Mapping[str, Any]) -> bool:
        now, key = self._clock(), _key(event)
        with self._lock:
            self._close(now)
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = _Window(now + self._seconds, _summary(event, self._seconds))
            window.count += 1
            return window.count <= self._burst

    def _close(self, now: float) -> None:
        """Closes what is over; windows are in the order in which they opened."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.closes_at > now and len(self._windows) <= self._limit:
                return
            self._windows.pop(key, None)
            if window.count > self._burst:
                self._closed.append(window)


def _summary(event: Mapping[str, Any], seconds: float) -> Fields:
    identity = {key: event[key] for key in IDENTITY if key in event}
    told = {"level": event["level"], "event": "log_lines_suppressed", "suppressed": event["event"]}
    return {**told, **identity, "seconds": seconds}


def _key(event: Mapping[str, Any]) -> Key:
    """The template is what a library's message was before its values were put in."""
    named = (str(event.get(key)) for key in ("event", "level", *IDENTITY, "_template"))
    return (*named, _place(event.get("exc_info")))


def _place(exc_info: Any) -> str:
    """Which error it is, and where it was raised."""
    error = sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if not isinstance(error, BaseException):
        return ""
    innermost = deque(traceback.walk_tb(error.__traceback__), maxlen=1)
    where = [f"{frame.f_code.co_filename}:{line}" for frame, line in innermost]
    return " ".join((type(error).__qualname__, *where))

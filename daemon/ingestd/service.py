"""Base of every background thread: runs a step, sleeps as long as the step asks, and can be woken."""

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

import structlog

from ingestd.backoff import backoff
from ingestd.errors import DatabaseUnavailable, MountUnavailable
from ingestd.shortage import memory_shortage, shortage_of, underlying_shortage

log = structlog.get_logger()

OUTAGE_NOTICE_SECONDS = 60.0
FIRST_PAUSE, MAX_PAUSE = 0.5, 4.0

_running: ContextVar["Service | None"] = ContextVar("service", default=None)


def tick() -> None:
    """Shows that the current round is alive. Does nothing outside of a service.

    Long steps call it after each part; code that waits for the database or the mount calls it at each try.
    """
    service = _running.get()
    if service is not None:
        service.tick()


class Countdown:
    """A limited time that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._began, self._seconds = time.monotonic(), seconds

    def left(self, share: float = 1.0) -> float:
        """Seconds until this share of the time has passed."""
        return max(0.0, self._began + share * self._seconds - time.monotonic())


class Step(Protocol):
    """One round of a service's work; returns the seconds until the next round is due."""

    def __call__(self) -> float: ...


class Service:
    """Runs `step` in a thread of its own until stopped. start() and stop() may each be called twice.

    During an outage of the database or the mount, and while this process or machine has too few resources, it retries
    with backoff, and logs that once a minute. After any other error it logs it and retries after a second.
    `ticked_at` (monotonic) is the time of the last sign of life: the end of a round, also of one that failed, or a
    `tick` during a round.
    `finally_do` runs in the thread at its end and closes resources of the thread, such as its database connection.
    `min_gap` is the least number of seconds between two rounds, however often the service is woken.
    """

    def __init__(
        self, name: str, step: Step, *, finally_do: Callable[[], None] = lambda: None, min_gap: float = 0.0
    ) -> None:
        self.name = name
        self.ticked_at = self._expected_at = time.monotonic()
        self._step = step
        self._finally_do = finally_do
        self._min_gap = min_gap
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pauses = backoff(FIRST_PAUSE, MAX_PAUSE)
        self._noticed_at: float | None = None
        self.lacks_resources = False
        """whether the last round ended because this process or its machine has too few resources"""

    def start(self) -> None:
        if self._thread is None:
            self._expected_at = time.monotonic()
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def restart_if_dead(self) -> bool:
        """Restarts the thread if it ended without `stop`; True if it did."""
        if self._thread is None or self.is_alive() or self._stopping.is_set():
            return False
        self._thread = None
        self.start()
        return True

    def wake(self) -> None:
        """Ends the current sleep. If a round is running, the next one follows at once."""
        self._wake.set()

    def stop(self) -> None:
        """Makes the thread end after its current round."""
        self._stopping.set()
        self._wake.set()

    def join(self, seconds: float | None = None) -> bool:
        """Waits for the thread; False if it is still running."""
        if self._thread is not None and self._thread.ident is not None:  # else it could not be started
            self._thread.join(seconds)
        return not self.is_alive()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def tick(self) -> None:
        self.ticked_at = self._expected_at = time.monotonic()

    def silent_for(self) -> float:
        """Seconds since a sign of life was due: since the last tick of a round, or since the planned end of a sleep."""
        if self._thread is None or self._stopping.is_set():
            return 0.0
        return max(0.0, time.monotonic() - self._expected_at)

    def _run(self) -> None:
        _running.set(self)
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                self._expected_at = time.monotonic()
                delay = self._round()
                self.tick()
                self._expected_at += self._min_gap + delay
                self._stopping.wait(self._min_gap)
                self._wake.wait(0.0 if self._stopping.is_set() else delay)
        finally:
            self._finally_do()

    def _round(self) -> float:
        try:
            delay: float = self._step()
        except (DatabaseUnavailable, MountUnavailable) as outage:
            return self._wait_out(outage)
        except Exception as error:
            if (shortage := shortage_of(error) or memory_shortage(error)) is not None:
                return self._wait_out(shortage)
            log.exception("service_failed", service=self.name)
            return 1.0
        if self._noticed_at is not None:
            log.info("service_recovered", service=self.name)
        self._pauses, self._noticed_at, self.lacks_resources = backoff(FIRST_PAUSE, MAX_PAUSE), None, False
        return delay

    def _wait_out(self, outage: Exception) -> float:
        """Logs an outage, at most once a minute; returns the seconds until the next try."""
        self.lacks_resources = underlying_shortage(outage) is not None
        now = time.monotonic()
        if self._noticed_at is None or now - self._noticed_at >= OUTAGE_NOTICE_SECONDS:
            self._noticed_at = now
            log.warning("waiting", service=self.name, reason=str(outage))
        return next(self._pauses)

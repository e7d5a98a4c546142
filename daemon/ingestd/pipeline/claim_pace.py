"""When a process may claim again after it gave work back, so that an outage is not a loop of claims and releases."""

import math
import threading
import time
from collections.abc import Iterator

from ingestd.backoff import backoff

FIRST_PAUSE, MAX_PAUSE = 2.0, 60.0
FIRST_ASIDE, MAX_ASIDE = 20.0, 600.0
"""of jobs whose end could not be recorded: longer than the gap between two trials, so that another job is tried then"""
FORGET_SECONDS = 3600.0
TRIAL_SECONDS = 10.0
CALM_SECONDS = 300.0


class ClaimPace:
    """The pauses between claims of one kind of work. Thread-safe.

    After a release nothing is claimed for a pause, and then one job at a time, `TRIAL_SECONDS` apart at least, until a
    job comes to its own end. Each release of a job that was claimed after the last pause doubles the next one, up to
    `MAX_PAUSE`; `CALM_SECONDS` without a release make it short again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pauses: Iterator[float] = iter(())
        self._released_at = self._grown_at = -math.inf
        self._next_claim_at = -math.inf
        self._gap = 0.0

    def delay(self) -> float:
        """Seconds until the caller may claim. 0.0 allows one claim; `unused` gives it back."""
        with self._lock:
            now = time.monotonic()
            if now < self._next_claim_at:
                return self._next_claim_at - now
            if self._gap:
                self._next_claim_at = now + self._gap
            return 0.0

    @property
    def is_slow(self) -> bool:
        """Whether one job at a time is claimed."""
        return self._gap > 0.0

    def unused(self) -> None:
        """Gives back what `delay` allowed: there was nothing to claim."""
        with self._lock:
            if self._gap:
                self._next_claim_at = time.monotonic()

    def released(self, claimed_at: float) -> None:
        """Records that work claimed at `claimed_at` (monotonic) was given back."""
        with self._lock:
            now = time.monotonic()
            if now - self._released_at > CALM_SECONDS:
                self._pauses = backoff(FIRST_PAUSE, MAX_PAUSE)
            self._released_at = now
            if claimed_at < self._grown_at:
                return
            pause, self._grown_at = next(self._pauses), now
            self._gap = max(pause, TRIAL_SECONDS)
            self._next_claim_at = now + pause

    def ended(self) -> bool:
        """Records that work came to its own end; True if that makes others free to claim."""
        with self._lock:
            was_slow, self._gap, self._next_claim_at = self._gap > 0.0, 0.0, -math.inf
            return was_slow


class SetAside:
    """Jobs that this process leaves to themselves, each for pauses that grow from `first` to `longest`. Thread-safe.

    They would be claimed again at once, ahead of all that were queued later.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._lock = threading.Lock()
        self._jobs: dict[int, tuple[Iterator[float], float]] = {}

    def add(self, job_id: int) -> None:
        """Sets a job aside."""
        with self._lock:
            pauses, _ = self._jobs.get(job_id, (backoff(self._first, self._longest), 0.0))
            self._jobs[job_id] = pauses, time.monotonic() + next(pauses)

    def forget(self, job_id: int) -> None:
        """A run of this job came to its end."""
        with self._lock:
            self._jobs.pop(job_id, None)

    def now(self) -> list[int]:
        """The jobs that are not to be claimed now. Those that were not claimed for long are forgotten."""
        with self._lock:
            now = time.monotonic()
            for job_id in [job_id for job_id, (_, until) in self._jobs.items() if until + FORGET_SECONDS < now]:
                del self._jobs[job_id]
            return [job_id for job_id, (_, until) in self._jobs.items() if now < until]

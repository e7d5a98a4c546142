"""When a process may claim again after it gave work back, so that an outage is not a loop of claims and releases."""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ingestd.backoff import backoff

FIRST_PAUSE, MAX_PAUSE = 2.0, 60.0
FIRST_ASIDE, MAX_ASIDE = 20.0, 600.0
"""of jobs whose end could not be recorded: longer than the gap between two trials, so that another job is tried then"""
FIRST_UNSETTLED, MAX_UNSETTLED = 2.0, 60.0
"""of jobs whose bundles cannot be read at present"""
FORGET_SECONDS, TAKEN_SECONDS = 3600.0, 60.0
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


@dataclass(slots=True)
class _Aside:
    """A job that was set aside for a cause, first at `since`, until `until`, and `over_at` at most; monotonic times.

    One with a name is looked at after its pause, and claimed once it was found ready.
    """

    cause: str
    name: str
    since: float
    over_at: float
    pauses: Iterator[float]
    until: float = -math.inf
    is_ready: bool = False

    def is_aside(self, now: float) -> bool:
        if now >= self.over_at or self.is_ready:
            return False
        return bool(self.name) or now < self.until


class SetAside:
    """Jobs that this process leaves to themselves, each for pauses that grow from `first` to `longest`. Thread-safe.

    They would be claimed again at once, ahead of all that were queued later.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._lock = threading.Lock()
        self._jobs: dict[int, _Aside] = {}

    def __contains__(self, job_id: int) -> bool:
        """Whether a job is not to be claimed now."""
        aside = self._jobs.get(job_id)
        return aside is not None and aside.is_aside(time.monotonic())

    def add(self, job_id: int, cause: str, seconds: float = math.inf, name: str = "") -> None:
        """Sets a job aside; not after `seconds` since it was first set aside for this cause. `name`: for `take_due`."""
        with self._lock:
            now = time.monotonic()
            aside = self._jobs.get(job_id)
            if aside is None or aside.cause != cause:
                pauses = backoff(self._first, self._longest)
                aside = self._jobs[job_id] = _Aside(cause, name, now, now + seconds, pauses)
            aside.until, aside.is_ready = min(now + next(aside.pauses), max(now, aside.over_at)), False

    def take_due(self, limit: int) -> dict[int, str]:
        """Jobs with names whose pause is over: the caller sets each aside again, or ends that.

        Meanwhile they are left to it, for a minute.
        """
        with self._lock:
            now = time.monotonic()
            due = [job_id for job_id, aside in self._jobs.items() if aside.is_aside(now) and aside.until <= now]
            taken = {job_id: self._jobs[job_id] for job_id in due[:limit]}
            for aside in taken.values():
                aside.until = now + TAKEN_SECONDS
            return {job_id: aside.name for job_id, aside in taken.items()}

    def end(self, job_id: int) -> None:
        """Ends the pause of a job; the time that it may take goes on."""
        with self._lock:
            if job_id in self._jobs:
                self._jobs[job_id].is_ready = True

    def since(self, job_id: int, cause: str) -> float | None:
        """When a job was first set aside for this cause (monotonic); None if it was not."""
        aside = self._jobs.get(job_id)
        return None if aside is None or aside.cause != cause else aside.since

    def forget(self, job_id: int) -> None:
        """A run of this job came to its end, or came further."""
        with self._lock:
            self._jobs.pop(job_id, None)

    def now(self) -> list[int]:
        """The jobs that are not to be claimed now. Those that were not claimed for long are forgotten."""
        with self._lock:
            now = time.monotonic()
            for job_id in [job_id for job_id, aside in self._jobs.items() if aside.until + FORGET_SECONDS < now]:
                del self._jobs[job_id]
            return [job_id for job_id, aside in self._jobs.items() if aside.is_aside(now)]

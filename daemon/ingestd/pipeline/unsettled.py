"""Jobs whose bundles cannot be read at present: for how long each was waited for, and when it is tried again."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from ingestd.backoff import backoff

FIRST_PAUSE, MAX_PAUSE = 2.0, 60.0
FORGET_SECONDS, TAKEN_SECONDS = 3600.0, 60.0
MAX_SHARE = 0.25


@dataclass(slots=True)
class _Wait:
    """The wait for one job. `waited`: seconds by cause, up to the last try; `limit`: how long they may become."""

    pauses: Iterator[float]
    tried_at: float
    cause: str = ""
    name: str = ""
    limit: float = 0.0
    pause: float = 0.0
    taken_until: float = 0.0
    is_ready: bool = False
    waited: dict[str, float] = field(default_factory=dict)

    def waited_for(self, cause: str, now: float) -> float:
        since_try = min(max(0.0, now - self.tried_at), 1.5 * self.pause + 1.0) if cause == self.cause else 0.0
        return self.waited.get(cause, 0.0) + since_try

    def is_over(self, now: float) -> bool:
        return self.waited_for(self.cause, now) >= self.limit

    def is_set_aside(self, now: float) -> bool:
        if self.is_ready:
            return False
        return now < self.tried_at + self.pause or (bool(self.name) and not self.is_over(now))

    @property
    def due_at(self) -> float:
        return max(self.tried_at + self.pause, self.taken_until)

    def is_due(self, now: float) -> bool:
        return bool(self.name) and self.is_set_aside(now) and now >= self.due_at


class Unsettled:
    """Jobs that this process sets aside, each for pauses that grow. Thread-safe.

    They would be claimed again at once, ahead of all that were queued later. Only time in which a job could be tried
    counts as waiting: of an outage, or a paused queue, not much more than one pause.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: dict[int, _Wait] = {}

    def add(self, job_id: int, cause: str, limit: float, name: str = "", began_at: float | None = None) -> None:
        """Sets a job aside after a try in vain, for `limit` seconds of waiting for this cause at most.

        The try `began_at` (monotonic seconds; None: now), and counts with the time that it took, up to MAX_SHARE of the
        limit: it may have had other things to do.
        With the `name` of a bundle, it stays aside until a look at its manifest finds it ready.
        """
        with self._lock:
            now = time.monotonic()
            began_at = now if began_at is None else began_at
            wait = self._waits.setdefault(job_id, _Wait(backoff(FIRST_PAUSE, MAX_PAUSE), began_at))
            wait.waited[wait.cause] = wait.waited_for(wait.cause, began_at)
            wait.waited[cause] = wait.waited.get(cause, 0.0) + min(now - began_at, limit * MAX_SHARE)
            wait.pause = max(FIRST_PAUSE / 2, min(next(wait.pauses), limit - wait.waited[cause]))
            wait.tried_at, wait.cause, wait.name, wait.limit = now, cause, name, limit
            wait.is_ready, wait.taken_until = False, 0.0

    def waited(self, job_id: int, cause: str) -> float | None:
        """For how many seconds a job was waited for, for one cause; None if it was not set aside."""
        wait = self._waits.get(job_id)
        return None if wait is None else wait.waited_for(cause, time.monotonic())

    def take_due(self, limit: int) -> dict[int, str]:
        """Jobs whose manifests are to be looked at, and the names: those due for longest.

        The caller adds each again, ends or forgets it. Meanwhile they are left to it, for a minute.
        """
        with self._lock:
            now = time.monotonic()
            due = [job_id for job_id, wait in self._waits.items() if wait.is_due(now)]
            due = nsmallest(limit, due, key=lambda job_id: self._waits[job_id].due_at)
            for job_id in due:
                self._waits[job_id].taken_until = now + TAKEN_SECONDS
            return {job_id: self._waits[job_id].name for job_id in due}

    def put_back(self, job_id: int) -> None:
        """A job that was taken is looked at another time."""
        with self._lock:
            if job_id in self._waits:
                self._waits[job_id].taken_until = 0.0

    def end(self, job_id: int) -> None:
        """The job may be claimed; the time that it was waited for still counts."""
        with self._lock:
            if job_id in self._waits:
                self._waits[job_id].is_ready = True

    def forget(self, job_id: int) -> None:
        """A run of this job came to its end, or came further."""
        with self._lock:
            self._waits.pop(job_id, None)

    def now(self) -> list[int]:
        """The jobs that are not to be claimed now. Those that were not tried for long are forgotten."""
        with self._lock:
            now = time.monotonic()
            self._forget_where(lambda wait: wait.tried_at + wait.pause + FORGET_SECONDS < now)
            return [job_id for job_id, wait in self._waits.items() if wait.is_set_aside(now)]

    def known(self) -> list[int]:
        """All jobs that were set aside and did not end, those that may be claimed now included."""
        return list(self._waits)

    def _forget_where(self, is_old: Callable[[_Wait], bool]) -> None:
        for job_id in [job_id for job_id, wait in self._waits.items() if is_old(wait)]:
            del self._waits[job_id]

"""Finds out which manifests can be read at all, before a reader takes them: what follows from the probes of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ingestd.errors import StillSilent
from ingestd.pipeline.context import Context
from ingestd.pipeline.lanes import Lane, Outcome, Task

POLL, SLOW = 0.05, 0.5
"""seconds between looks at answers, and after which a manifest that answers is read apart"""
NO_PLACE = "so many manifests hang in the mount that it is not read before one of them answers; mount it again"


@dataclass(frozen=True, slots=True)
class _Probed:
    """A task whose manifest is probed, and since when (monotonic)."""

    task: Task
    since: float


class Probing:
    """The tasks whose manifests are probed. For one thread.

    What answers goes on; what was silent for mount.deadline is given up, and so is what waits to be probed when nothing
    has answered for so long.
    """

    def __init__(self, context: Context) -> None:
        self._prober, self._deadline = context.mount.prober, context.settings.mount.deadline
        self._waiting: dict[str, _Probed] = {}
        self._moved_at = time.monotonic()

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting)

    @property
    def fresh(self) -> int:
        """How many began less than SLOW ago: most manifests answer in that time."""
        end = time.monotonic() - SLOW
        return sum(one.since > end for one in self._waiting.values())

    def begin(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._waiting[task.sync_id] = _Probed(task, time.monotonic())
            self._prober.ask(task.sync_id)

    def wait(self) -> list[Outcome]:
        """Waits a moment for answers; returns what is over."""
        self._prober.wait(POLL)
        over = []
        for sync_id, one in list(self._waiting.items()):
            outcome = self._outcome(one.task)
            if outcome is not None:
                del self._waiting[sync_id]
                over.append(outcome)
                if not outcome.is_silent:
                    self._moved_at = time.monotonic()
        return over

    def _outcome(self, task: Task) -> Outcome | None:
        """What follows from a probe; None if it is not over."""
        prober = self._prober
        seconds = prober.take(task.sync_id)
        if seconds is not None:
            return Outcome(task, next_task=_after_probe(task) if seconds < SLOW else task.moved(Lane.APART))
        if prober.silent_for(task.sync_id) >= self._deadline:
            return Outcome(task, error=StillSilent("reading it hangs in the mount"), is_silent=True)
        if time.monotonic() - self._moved_at < self._deadline or not prober.is_waiting(task.sync_id):
            return None
        if prober.problem is not None:
            # It concerns all of them: it is reported with one, and the others go on waiting.
            return Outcome(task, error=prober.problem)
        return Outcome(task, error=StillSilent(NO_PLACE), is_silent=True)


def _after_probe(task: Task) -> Task:
    assert task.probed_for is not None, "a task is moved to its probe from another lane"
    return task.moved(task.probed_for)

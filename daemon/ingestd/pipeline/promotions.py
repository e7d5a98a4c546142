"""Waiting jobs whose turn has come, and that the end of the job before did not queue.

That end, or a cancellation, notes what it left. All other waiting jobs are looked at in turns: what they wait for may
have ended without a note, by another client, or may have become a newer bundle; and some may wait in a circle.
"""

from collections.abc import Iterator
from itertools import islice

from ingestd.pipeline.context import Context
from ingestd.store import due, waiting_jobs
from ingestd.store.waiting_jobs import FIRST, Place, WaitingJob

MAX_NOTES = 500
MAX_WAITING = 500
"""waiting jobs that a sweep looks at in turn"""
MAX_LOOKS = 20
"""those among them that wait for one of the same time, looked at closely: that takes long in a long chain"""
FOREVER = 1e9
"""seconds: these notes are never put off"""


class Promotions:
    """Finds waiting jobs that may be queued now."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._free_after = self._equal_after = FIRST

    def due(self) -> Iterator[int]:
        """The ids of jobs to promote. Whether it is their turn is decided under lock."""
        yield from self._noted()
        found = self._next(self._free_after)
        self._free_after = _after(found)
        yield from (waiting.place.id for waiting in found if waiting.is_free)
        if found or self._equal_after != FIRST:
            yield from self._perhaps_in_circle()

    def _noted(self) -> list[int]:
        """Jobs that were left waiting. A note is kept until none is left: some may be locked at present."""
        noted = self._context.db.read(lambda tx: due.due(tx, "promotion", FOREVER, MAX_NOTES))
        if not noted:
            return []
        left = self._context.db.read(lambda tx: waiting_jobs.left(tx, list(noted), MAX_WAITING))
        open_batches = {batch_id for batch_id, _ in left} if len(left) < MAX_WAITING else noted.keys()
        done = [note for batch_id, notes in noted.items() if batch_id not in open_batches for note in notes]
        if done:
            self._context.db.transaction(lambda tx: due.forget(tx, done))
        return [job_id for _, job_id in left]

    def _perhaps_in_circle(self) -> list[int]:
        found = self._next(self._equal_after)
        equal = list(islice((waiting.place for waiting in found if waiting.is_of_equal_time), MAX_LOOKS))
        self._equal_after = equal[-1] if len(equal) == MAX_LOOKS else _after(found)
        return [place.id for place in equal]

    def _next(self, after: Place) -> list[WaitingJob]:
        return self._context.db.read(lambda tx: waiting_jobs.following(tx, after, MAX_WAITING))


def _after(found: list[WaitingJob]) -> Place:
    """Where the next look begins."""
    return found[-1].place if len(found) == MAX_WAITING else FIRST

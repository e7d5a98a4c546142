"""Waiting jobs whose turn has come, and that the end of the job before did not queue.

That end, or a cancellation, notes what it left. All other waiting jobs are looked at in turns: what they wait for may
have ended without a note, by another client, or may have become a newer bundle; and some may wait in a circle.
"""

from collections.abc import Iterator

from ingestd.pipeline.context import Context
from ingestd.store import due, waiting_jobs
from ingestd.store.waiting_jobs import FIRST

MAX_NOTES, MAX_LEFT = 500, 500
"""notes that a sweep takes up, and jobs that were left waiting"""
MAX_WAITING = 100
"""waiting jobs that a sweep looks at in turn"""
MAX_LOOKS = 20
"""those among them that wait for one of the same time, looked at closely: that takes long in a long chain"""
FOREVER = 1e9
"""seconds: these notes are never put off"""


class Promotions:
    """Finds waiting jobs that may be queued now."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._after = FIRST

    def due(self) -> Iterator[int]:
        """The ids of jobs to promote. Whether it is their turn is decided under lock."""
        yield from self._noted()
        found = self._context.db.read(lambda tx: waiting_jobs.following(tx, self._after, MAX_WAITING))
        equal = [waiting.place for waiting in found if waiting.is_of_equal_time]
        self._after = found[-1].place if found and found[-1].is_last else FIRST
        if len(equal) > MAX_LOOKS:
            self._after = equal[MAX_LOOKS - 1]
        yield from (waiting.place.id for waiting in found if waiting.is_free)
        yield from (place.id for place in equal[:MAX_LOOKS])

    def _noted(self) -> list[int]:
        """Jobs that were left waiting. A note is kept until none is left: some may be locked at present."""
        noted = self._context.db.read(lambda tx: due.due(tx, "promotion", FOREVER, MAX_NOTES))
        if not noted:
            return []
        left = self._context.db.read(lambda tx: waiting_jobs.left(tx, list(noted), MAX_LEFT))
        open_batches = {batch_id for batch_id, _ in left} if len(left) < MAX_LEFT else noted.keys()
        done = [note for batch_id, notes in noted.items() if batch_id not in open_batches for note in notes]
        if done:
            self._context.db.transaction(lambda tx: due.forget(tx, done))
        return [job_id for _, job_id in left]

"""The transactions of one run: each ends with a guarded update of its job, or is rolled back."""

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from ingestd.errors import DatabaseUnavailable, LeaseLost, Stopping
from ingestd.model import Lease
from ingestd.pipeline.context import Context
from ingestd.store import job
from ingestd.store.db import Tx

T = TypeVar("T")


class Fence:
    """Writes for one lease, records its progress, and notices when the daemon stops.

    `tick` shows that the worker is alive; it is called from the worker's thread and from the one that reads ahead.
    """

    def __init__(
        self, context: Context, lease: Lease, stopping: threading.Event, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._context, self._lease, self._stopping, self._tick = context, lease, stopping, tick
        self._is_abandoned = False

    def fenced(self, work: Callable[[Tx], T], *, done: int = 0, current_item_id: int | None = None) -> T:
        """Runs `work` in a transaction that ends with the fence, and adds `done` items to the job's progress.

        Raises LeaseLost, and rolls `work` back, when the job is no longer this worker's.
        """

        attempts = count()

        def fenced(tx: Tx) -> T:
            if next(attempts) and not job.beat(tx, self._lease):
                # What the attempt before met is another run of the same job.
                raise LeaseLost(f"job {self._lease.job_id} was taken from {self._lease.worker_id}")
            result = work(tx)
            progress = self._lease.items_done + done
            job.fence(tx, self._lease, progress, self._lease.items_total, current_item_id)
            return result

        result = self.guarded(fenced)
        self._lease.items_done += done
        self._lease.progress_at = time.monotonic()
        self._tick()
        return result

    def guarded(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`, which itself ends with a guarded update of the job. Waits out outages until the daemon stops."""
        result = self._context.db.transaction(work, keep_waiting=self._keep_waiting)
        self._lease.writes += 1
        return result

    def read(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`, which only reads. Waits out outages. Raises Stopping when the daemon stops meanwhile."""
        try:
            return self._context.db.read(work, keep_waiting=self._keep_waiting)
        except DatabaseUnavailable:
            self.check()
            raise

    def _keep_waiting(self) -> bool:
        """Whether to go on waiting for the database. Waiting is a sign of life, of the thread and of its job."""
        self._tick()
        self._lease.progress_at = time.monotonic()
        return not self._stopping.is_set()

    def abandon(self) -> None:
        """Makes a thread that still reads ahead for this run stop at its next step."""
        self._is_abandoned = True

    def check(self) -> None:
        """Raises Stopping when the daemon stops, or the run ends."""
        if self._stopping.is_set() or self._is_abandoned:
            raise Stopping("the daemon is stopping")

    def pause(self, seconds: float) -> None:
        """Waits for so many seconds. Raises Stopping when the daemon stops meanwhile."""
        self._tick()
        self._stopping.wait(seconds)
        self.check()

    def on_step(self) -> None:
        """Records progress, so that heartbeats go on. Raises Stopping when the daemon stops."""
        self._tick()
        self._lease.progress_at = time.monotonic()
        self.check()

    def on_bytes(self, count: int) -> None:
        """Records that `count` bytes were read."""
        self.on_step()
        self._context.instruments.documents_read.inc(count)

"""The transactions of one run: each ends with a guarded update of its job, or is rolled back."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ingestd.errors import Stopping
from ingestd.model import Lease
from ingestd.pipeline.context import Context
from ingestd.service import tick
from ingestd.store import job
from ingestd.store.db import Tx

T = TypeVar("T")


class Fence:
    """Writes for one lease, notes its progress, and notices when the daemon stops."""

    def __init__(self, context: Context, lease: Lease, stopping: threading.Event) -> None:
        self._context, self._lease, self._stopping = context, lease, stopping

    def fenced(self, work: Callable[[Tx], T], *, done: int = 0, current_item_id: int | None = None) -> T:
        """Runs `work` in a transaction that ends with the fence; `done` items more are then done.

        Raises LeaseLost when the job is no longer this worker's; nothing of `work` is kept then.
        """

        def fenced(tx: Tx) -> T:
            result = work(tx)
            progress = self._lease.items_done + done
            job.fence(tx, self._lease, progress, self._lease.items_total, current_item_id)
            return result

        result = self.guarded(fenced)
        self._lease.items_done += done
        self._lease.progress_at = time.monotonic()
        tick()
        return result

    def guarded(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`, which itself ends with a guarded update of the job. Waits out outages until the daemon stops."""
        kept: list[T] = []

        def keeping(tx: Tx) -> list[T]:
            kept[:] = [work(tx)]
            return kept

        def was_committed(tx: Tx) -> list[T] | None:
            return kept if job.was_committed(tx, self._lease) else None

        result = self._context.db.transaction(
            keeping, was_committed=was_committed, keep_waiting=lambda: not self._stopping.is_set()
        )
        self._lease.writes += 1
        return result[0]

    def check(self) -> None:
        """Raises Stopping when the daemon stops."""
        if self._stopping.is_set():
            raise Stopping("the daemon stops")

    def pause(self, seconds: float) -> None:
        """Waits, unless the daemon stops: then raises Stopping."""
        tick()
        self._stopping.wait(seconds)
        self.check()

    def on_step(self) -> None:
        """Something moved: the heart may go on beating."""
        tick()
        self._lease.progress_at = time.monotonic()
        self.check()

    def on_bytes(self, count: int) -> None:
        self.on_step()
        self._context.instruments.documents_read.inc(count)

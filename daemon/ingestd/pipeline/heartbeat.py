"""Shows that the jobs and requests of this process are alive, and finds what other processes queued."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ingestd.errors import DatabaseContention
from ingestd.model import Lease
from ingestd.pipeline.context import Context
from ingestd.store import job, next_jobs, request
from ingestd.store.db import Tx
from ingestd.store.next_jobs import QueuedWork
from ingestd.store.request import Claim


class Poller:
    """Wakes the parts whose work was queued by another process. One statement a round for all of them.

    It also drops what was read ahead for a job that does not come, and has jobs put back that no worker takes up.
    """

    def __init__(
        self, context: Context, wake: Callable[[QueuedWork], None], give_back: Callable[[], None] = lambda: None
    ) -> None:
        self._context, self._wake, self._give_back = context, wake, give_back

    def run_once(self) -> float:
        self._context.ahead.forget_old()
        self._give_back()
        self._wake(self._context.db.read(next_jobs.queued))
        return self._context.settings.worker.poll_interval


class Heartbeat:
    """Sends heartbeats for the jobs and requests of this process, on a connection of its own.

    A job gets its heartbeat as long as it progresses, a request as long as it runs.
    """

    def __init__(
        self, context: Context, leases: Callable[[], Iterable[Lease]], claims: Callable[[], Iterable[Claim]]
    ) -> None:
        self._context, self._leases, self._claims = context, leases, claims

    def run_once(self) -> float:
        """One round. A row that another client locks does not keep the other rows from their heartbeats."""
        blocked: DatabaseContention | None = None
        for beat in (*self._beats_of_jobs(), *self._beats_of_requests()):
            try:
                self._context.db.transaction(beat, keep_waiting=lambda: False)
            except DatabaseContention as error:
                blocked = error
        if blocked is not None:
            # As after an outage: what could not be written must not look like death.
            self._context.db.note_outage()
            raise blocked
        return self._context.settings.worker.heartbeat_seconds

    def _beats_of_jobs(self) -> Iterator[Callable[[Tx], object]]:
        patience = self._context.settings.worker.stale_after / 3
        for lease in self._leases():
            if time.monotonic() - lease.progress_at < patience:
                yield partial(self._beat, lease=lease)

    def _beats_of_requests(self) -> Iterator[Callable[[Tx], object]]:
        for claim in self._claims():
            yield partial(request.beat, claim=claim)

    def _beat(self, tx: Tx, lease: Lease) -> None:
        ok = job.beat(tx, lease)
        self._context.instruments.heartbeats.labels("ok" if ok else "error").inc()

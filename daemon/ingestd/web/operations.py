"""The operations of the JSON interface and of the pages: queue, cancel, plan, scan, pause, resume."""

from collections.abc import Sequence
from typing import Any

from flask import g

from ingestd.errors import DatabaseContention, IngestdError, NotEligible, NotFound
from ingestd.model import JobState, Origin, RequestKind
from ingestd.pipeline import cancelling, ordering, pausing, queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.requests import mount_checked, plan
from ingestd.records import Job
from ingestd.store import batch, job, request
from ingestd.web.hooks import Hooks
from ingestd.web.problem import status_of
from ingestd.web.security.tokens import Identity
from ingestd.web.turns import Turns

PLANNED_AT_ONCE = 5000
"""items of the largest batch that is planned while the client waits"""


def requested_by() -> str:
    """The name of the token's owner, for the ledger and the rows."""
    identity: Identity = g.identity
    return identity.name


class Operations:
    def __init__(self, context: Context, hooks: Hooks) -> None:
        self._context, self._hooks, self._turns = context, hooks, Turns()

    def queue(self, queue_request: queueing.QueueRequest) -> tuple[int, Job]:
        """201 and the new job, or 200 and the job that was active already."""
        with self._turns.of(queue_request.sync_id), mount_checked(self._context):
            queued = queueing.enqueue(self._context, queue_request, self._hooks.on_queued, PLANNED_AT_ONCE)
        return 201 if queued.is_new else 200, self.job(queued.job.id)

    def queue_result(self, queue_request: queueing.QueueRequest, *, is_late: bool = False) -> dict[str, Any]:
        """The result for one batch of several. Raises errors that every other batch would meet as well.

        `is_late`: another batch was waited for in vain, and this one is not waited for.
        """
        try:
            if is_late:
                raise DatabaseContention("not tried: the request ran out of time; queue it again")
            status, row = self.queue(queue_request)
        except IngestdError as error:
            if status_of(error) >= 500 and not isinstance(error, DatabaseContention):
                raise
            return {"sync_id": queue_request.sync_id, "status": status_of(error), "job": None, "error": str(error)}
        return {"sync_id": queue_request.sync_id, "status": status, "job": row, "error": None}

    def oldest_first(self, sync_ids: Sequence[str]) -> list[int]:
        """The places of batches in order of version."""
        return ordering.oldest_first(self._context, sync_ids)

    def cancel(self, sync_id: str, job_id: int | None = None) -> Job:
        """The job that was waiting or queued, after it was cancelled; or the failed job whose retry was cancelled."""
        with self._turns.of(sync_id):
            cancelled = cancelling.cancel(self._context, sync_id, requested_by(), job_id)
        return self.job(cancelled.id)

    def plan(self, sync_id: str, *, at_once: bool = True) -> dict[str, Any] | int:
        """The plan of a batch; or the id of the request, if the batch is large or must not be planned at once."""
        if self._count(sync_id) > PLANNED_AT_ONCE or not at_once:
            return self._request(RequestKind.PREFLIGHT, sync_id)
        with self._turns.of(sync_id), mount_checked(self._context):
            return plan(self._context, sync_id)

    def accept_mount(self) -> tuple[Origin | None, Origin]:
        """The file system that this host expected, and the one that it expects now."""
        with self._turns.any():
            return self._context.gate.accept(requested_by())

    def scan(self) -> int:
        """The id of the request for a full scan."""
        return self._request(RequestKind.SCAN)

    def _request(self, kind: RequestKind, sync_id: str | None = None) -> int:
        by = requested_by()
        with self._turns.any():
            request_id = self._context.db.transaction(lambda tx: request.insert(tx, kind, by, sync_id))
        self._hooks.on_request()
        return request_id

    def _count(self, sync_id: str) -> int:
        """The number of items of a batch. Raises NotFound, or NotEligible while its job runs."""
        known = self._context.db.read(lambda tx: batch.find(tx, sync_id))
        if known is None:
            raise NotFound(f"there is no batch {sync_id}")
        active = self._context.db.read(lambda tx: job.active(tx, known.id))
        if active is not None and active.state is JobState.RUNNING:
            raise NotEligible(f"job {active.id} is importing batch {sync_id} right now")
        return known.item_count

    def pause(self, reason: str | None) -> bool:
        """Whether this call paused the queue; False if it was paused already."""
        with self._turns.any():
            return pausing.pause(self._context, requested_by(), reason)

    def resume(self) -> bool:
        """Whether this call resumed the queue; False if it was not paused."""
        with self._turns.any():
            changed = pausing.resume(self._context, requested_by())
        if changed:
            self._hooks.on_queued()
        return changed

    def job(self, job_id: int) -> Job:
        row = self._context.db.read(lambda tx: job.find(tx, job_id))
        assert row is not None, "jobs are never deleted"
        return row

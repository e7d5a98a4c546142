"""What operators do, for the interface and for the pages alike: queue, cancel, plan, pause, resume."""

from typing import Any

from flask import g

from ingestd.errors import IngestdError, NotEligible, NotFound
from ingestd.model import JobState
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.store import batch, job, stats
from ingestd.web.hooks import Hooks
from ingestd.web.planner import Planner, mount_asked
from ingestd.web.problem import status_of
from ingestd.web.security.tokens import Identity

PLANNED_AT_ONCE = 5000
"""items of the largest batch whose plan a request waits for"""


def requested_by() -> str:
    """Whom the ledger names for what this request asks."""
    identity: Identity = g.identity
    return identity.name


class Operations:
    def __init__(self, context: Context, hooks: Hooks, planner: Planner) -> None:
        self._context, self._hooks, self._planner = context, hooks, planner

    def queue(self, queue_request: queueing.QueueRequest) -> tuple[int, stats.Row]:
        """201 and the new job, or 200 and the one that was active already."""
        with mount_asked(self._context):
            queued = queueing.enqueue(self._context, queue_request, self._hooks.on_queued)
        return 201 if queued.is_new else 200, self.job(queued.job.id)

    def queue_result(self, queue_request: queueing.QueueRequest) -> dict[str, Any]:
        """What became of one batch of many; what no other batch could do any better is raised."""
        try:
            status, row = self.queue(queue_request)
        except IngestdError as error:
            if status_of(error) >= 500:
                raise
            return {"sync_id": queue_request.sync_id, "status": status_of(error), "job": None, "error": str(error)}
        return {"sync_id": queue_request.sync_id, "status": status, "job": row, "error": None}

    def cancel(self, sync_id: str) -> stats.Row:
        """The job that was waiting or queued, as it is now."""
        return self.job(queueing.cancel(self._context, sync_id, requested_by()).id)

    def plan(self, sync_id: str, *, at_once: bool = True) -> dict[str, Any] | None:
        """The plan of a batch; None when it is made in the background: it is large, or not wanted at once."""
        if self._count(sync_id) > PLANNED_AT_ONCE or not at_once:
            self._planner.accept(sync_id)
            return None
        with mount_asked(self._context):
            plan = preflight(self._context, sync_id)
        return {"sync_id": sync_id, **plan, "ok": bool(plan["ok"])}

    def _count(self, sync_id: str) -> int:
        """How many items a batch has. Raises NotFound, or NotEligible while it is imported."""
        known = self._context.db.read(lambda tx: batch.find(tx, sync_id))
        if known is None:
            raise NotFound(f"there is no batch {sync_id}")
        active = self._context.db.read(lambda tx: job.active(tx, known.id))
        if active is not None and active.state is JobState.RUNNING:
            raise NotEligible(f"job {active.id} is importing batch {sync_id} right now")
        return known.item_count

    def pause(self, reason: str | None) -> bool:
        """Whether this made a difference."""
        return queueing.pause(self._context, requested_by(), reason)

    def resume(self) -> bool:
        """Whether this made a difference."""
        changed = queueing.resume(self._context, requested_by())
        if changed:
            self._hooks.on_queued()
        return changed

    def job(self, job_id: int) -> stats.Row:
        row = self._context.db.read(lambda tx: stats.job(tx, job_id))
        assert row is not None, "jobs are never deleted"
        return row

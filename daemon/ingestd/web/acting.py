"""What operators do: queue, cancel, plan, scan, pause, resume."""

from typing import Any

from flask import Response, g

from ingestd.errors import IngestdError, NotEligible, NotFound
from ingestd.model import JobState, Scope
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.store import batch, job, stats
from ingestd.web.answers import answer
from ingestd.web.auth import Identity
from ingestd.web.hooks import Hooks
from ingestd.web.planner import Planner, mount_asked
from ingestd.web.problem import status_of
from ingestd.web.schemas import BatchPath, NoBody, PauseBody, QueueBody, QueueManyBody

PLANNED_AT_ONCE = 5000
"""items of the largest batch whose plan a request waits for"""


def requested_by() -> str:
    """Whom the ledger names for what this request asks."""
    identity: Identity = g.identity
    return identity.name


class Acting:
    def __init__(self, context: Context, hooks: Hooks, planner: Planner) -> None:
        self._context, self._hooks, self._planner = context, hooks, planner

    def queue(self, path: BatchPath, body: QueueBody) -> Response:
        """Queues a batch: 201 a new job, 200 the one that was active already, with its priority changed if asked."""
        scope = Scope(body.only) if body.only else Scope.ALL
        wish = queueing.Request(path.sync_id, requested_by(), body.priority, body.force, scope)
        status, row = self._queue(wish)
        return answer(row, status, {"Location": f"/api/v1/jobs/{row['id']}"})

    def queue_many(self, body: QueueManyBody) -> Response:
        """Queues batches one after another. An outage ends it with 503; asking again does no harm."""
        results = [self._result(queueing.Request(sync_id, requested_by(), body.priority)) for sync_id in body.sync_ids]
        return answer({"results": results})

    def _result(self, wish: queueing.Request) -> dict[str, Any]:
        """What became of one batch; what no other batch could do any better is no result."""
        try:
            status, row = self._queue(wish)
        except IngestdError as error:
            if status_of(error) >= 500:
                raise
            return {"sync_id": wish.sync_id, "status": status_of(error), "job": None, "error": str(error)}
        return {"sync_id": wish.sync_id, "status": status, "job": row, "error": None}

    def _queue(self, wish: queueing.Request) -> tuple[int, stats.Row]:
        with mount_asked(self._context):
            queued = queueing.queue_and_tell(self._context, wish, self._hooks.on_queued)
        return 201 if queued.is_new else 200, self._job(queued.job.id)

    def cancel(self, path: BatchPath, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Cancels the waiting or queued job of a batch."""
        cancelled = queueing.cancel(self._context, path.sync_id, requested_by())
        return answer(self._job(cancelled.id))

    def preflight(self, path: BatchPath, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Plans a batch: 200 the plan; 202 if it has more than 5,000 items, and the plan is made in the background."""
        if self._count(path.sync_id) > PLANNED_AT_ONCE:
            self._planner.accept(path.sync_id)
            address = f"/api/v1/batches/{path.sync_id}"
            told = f"The plan is made in the background; `preflight` of {address} tells when it is there."
            return answer({"detail": told}, 202, {"Location": address})
        with mount_asked(self._context):
            plan = preflight(self._context, path.sync_id)
        return answer({"sync_id": path.sync_id, **plan, "ok": bool(plan["ok"])})

    def _count(self, sync_id: str) -> int:
        """How many items a batch has. Raises NotFound, or NotEligible while it is imported."""
        known = self._context.db.read(lambda tx: batch.find(tx, sync_id))
        if known is None:
            raise NotFound(f"there is no batch {sync_id}")
        active = self._context.db.read(lambda tx: job.active(tx, known.id))
        if active is not None and active.state is JobState.RUNNING:
            raise NotEligible(f"job {active.id} is importing batch {sync_id} right now")
        return known.item_count

    def scan(self, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Asks for a full scan of the hand-over folder."""
        self._hooks.rescan()
        return answer({"detail": "The scan begins now; new batches show up in /api/v1/batches."}, 202)

    def pause(self, body: PauseBody) -> Response:
        """Stops claiming on every host."""
        return self._control(queueing.pause(self._context, requested_by(), body.reason))

    def resume(self, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Lets claiming go on."""
        changed = queueing.resume(self._context, requested_by())
        if changed:
            self._hooks.on_queued()
        return self._control(changed)

    def _control(self, changed: bool) -> Response:
        now = self._context.db.read(job.control)
        told = {"paused_by": now.by, "paused_reason": now.reason, "paused_at": now.at}
        return answer({"paused": now.paused, "changed": changed, **told})

    def _job(self, job_id: int) -> stats.Row:
        row = self._context.db.read(lambda tx: stats.job(tx, job_id))
        assert row is not None, "jobs are never deleted"
        return row

"""The routes by which operators act: queue, cancel, plan, scan, pause, resume."""

from dataclasses import asdict

from flask import Response

from ingestd.errors import NotFound
from ingestd.model import Scope
from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.store import job
from ingestd.web.api.schemas import BatchPath, NoBody, PauseBody, QueueBody, QueueManyBody, ScanPath
from ingestd.web.hooks import Hooks
from ingestd.web.operations import Operations, requested_by
from ingestd.web.responses import answer


class Commands:
    def __init__(self, context: Context, hooks: Hooks, operations: Operations) -> None:
        self._context, self._hooks, self._operations = context, hooks, operations

    def queue(self, path: BatchPath, body: QueueBody) -> Response:
        """Queues a batch: 201 a new job, 200 the one that was active already, with its priority changed if asked."""
        scope = Scope(body.only) if body.only else Scope.ALL
        queue_request = queueing.QueueRequest(path.sync_id, requested_by(), body.priority, body.force, scope)
        status, row = self._operations.queue(queue_request)
        return answer(row, status, {"Location": f"/api/v1/jobs/{row['id']}"})

    def queue_many(self, body: QueueManyBody) -> Response:
        """Queues batches one after another. An outage ends it with 503; asking again does no harm."""
        queue_requests = [queueing.QueueRequest(sync_id, requested_by(), body.priority) for sync_id in body.sync_ids]
        return answer({"results": [self._operations.queue_result(queue_request) for queue_request in queue_requests]})

    def cancel(self, path: BatchPath, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Cancels the waiting or queued job of a batch."""
        return answer(self._operations.cancel(path.sync_id))

    def preflight(self, path: BatchPath, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Plans a batch: 200 the plan; 202 if it has more than 5,000 items, and the plan is made in the background."""
        plan = self._operations.plan(path.sync_id)
        if plan is None:
            address = f"/api/v1/batches/{path.sync_id}"
            told = f"The plan is made in the background; `preflight` of {address} tells when it is there."
            return answer({"detail": told}, 202, {"Location": address})
        return answer(plan)

    def scan(self, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Asks for a full scan of the hand-over folder, and gives the number by which to ask what it found."""
        number = self._hooks.rescan()
        address = f"/api/v1/scans/{number}"
        return answer(
            {"detail": f"The scan begins now; {address} tells what it finds.", "id": number}, 202, {"Location": address}
        )

    def scanned(self, path: ScanPath) -> Response:
        """What came of a scan that was asked for: the batches that it recorded or found changed, or why it failed."""
        outcome = self._hooks.scanned(path.scan_id)
        if outcome is None:
            raise NotFound(f"this process knows of no scan {path.scan_id}, or no more")
        return answer({"id": path.scan_id, **asdict(outcome)})

    def pause(self, body: PauseBody) -> Response:
        """Stops claiming on every host."""
        return self._control(self._operations.pause(body.reason))

    def resume(self, body: NoBody) -> Response:  # noqa: ARG002  checked to be empty
        """Lets claiming go on."""
        return self._control(self._operations.resume())

    def _control(self, changed: bool) -> Response:
        now = self._context.db.read(job.control)
        told = {"paused_by": now.by, "paused_reason": now.reason, "paused_at": now.at}
        return answer({"paused": now.paused, "changed": changed, **told})

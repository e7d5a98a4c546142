"""The routes that change something, for operators: queue, cancel, plan, scan, pause, resume."""

from typing import Any

from flask import Response

from ingestd.pipeline import queueing
from ingestd.pipeline.context import Context
from ingestd.records import as_dict
from ingestd.store import control
from ingestd.web.api.schemas import BatchPath, CancelBody, EmptyBody, PauseBody, QueueBody, QueueManyBody
from ingestd.web.operations import Operations, requested_by
from ingestd.web.responses import answer


class Commands:
    def __init__(self, context: Context, operations: Operations) -> None:
        self._context, self._operations = context, operations

    def queue(self, path: BatchPath, body: QueueBody) -> Response:
        """Queues a batch: 201 a new job; 200 the job that was already active, with the new priority if there is one."""
        given = (body.priority, body.force, body.scope, body.manifest_sha256, body.max_removals)
        queue_request = queueing.QueueRequest(path.sync_id, requested_by(), *given)
        status, row = self._operations.queue(queue_request)
        return answer(row, status, {"Location": f"/api/v1/jobs/{row.id}"})

    def queue_many(self, body: QueueManyBody) -> Response:
        """Queues batches in order of version. An outage ends it with 503; repeating the request is safe.

        Batches that others hold come last. When one of them was waited for in vain, the others are not waited for.
        """
        queue_requests = [queueing.QueueRequest(sync_id, requested_by(), body.priority) for sync_id in body.sync_ids]
        results: dict[int, dict[str, Any]] = {}
        is_held = False
        for place in self._operations.oldest_first(body.sync_ids):
            results[place] = self._operations.queue_result(queue_requests[place], is_late=is_held)
            is_held = is_held or results[place]["status"] == 503
        return answer({"results": [results[place] for place in sorted(results)]})

    def cancel(self, path: BatchPath, body: CancelBody) -> Response:
        """Cancels the waiting or queued job of a batch, or the retry of its failed job."""
        return answer(self._operations.cancel(path.sync_id, body.job_id))

    def preflight(self, path: BatchPath, body: EmptyBody) -> Response:  # noqa: ARG002  checked to be empty
        """Plans a batch: 200 the plan; 202 a request that will plan it, if it has more than 5,000 items."""
        plan = self._operations.plan(path.sync_id)
        return _accepted(plan, "pre-flight") if isinstance(plan, int) else answer(plan)

    def scan(self, body: EmptyBody) -> Response:  # noqa: ARG002  checked to be empty
        """Requests a full scan, by any host. One scan answers all requests that were made before it begins."""
        return _accepted(self._operations.scan(), "scan")

    def pause(self, body: PauseBody) -> Response:
        """Stops claiming on every host."""
        return self._control(self._operations.pause(body.reason))

    def resume(self, body: EmptyBody) -> Response:  # noqa: ARG002  checked to be empty
        """Resumes claiming on every host."""
        return self._control(self._operations.resume())

    def accept_mount(self, body: EmptyBody) -> Response:  # noqa: ARG002  checked to be empty
        """Accepts the file system that is mounted on the host of this daemon in place of the expected one."""
        before, found = self._operations.accept_mount()
        return answer({"from": None if before is None else str(before), "to": str(found)})

    def _control(self, changed: bool) -> Response:
        return answer({**as_dict(self._context.db.read(control.find)), "changed": changed})


def _accepted(request_id: int, what: str) -> Response:
    address = f"/api/v1/requests/{request_id}"
    detail = f"The {what} was accepted; {address} has its state and its result."
    return answer({"id": request_id, "detail": detail}, 202, {"Location": address})

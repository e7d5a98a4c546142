"""What is done with several ticked batches: a look at what would happen, then a result for each."""

import time
from typing import Any

from flask import Response

from ingestd.errors import IngestdError
from ingestd.model import Action, BatchStatus, JobState
from ingestd.pipeline import queueing
from ingestd.store import stats
from ingestd.web.operations import Operations, requested_by
from ingestd.web.pages import forms
from ingestd.web.pages.layout import Layout, wants_page
from ingestd.web.problem import ProblemError, retry, status_of

PLANNED_FOR = 5.0
"""seconds that a request plans batches for; those that are left then are planned in the background"""
QUEUED_FOR = 20.0
"""seconds that a request queues batches for: it holds one of the few threads that answer, before an impatient proxy"""
TOO_LONG = "the others took too long"


class NotTried(IngestdError):
    """A batch that was not queued because of those before it."""


class Bulk:
    def __init__(self, frame: Layout, operations: Operations, priority: int) -> None:
        self._frame, self._operations, self._priority = frame, operations, priority

    def confirm(self) -> Response:
        """Says what queueing the ticked batches would do, and changes nothing."""
        rows = self._rows(_ticked())
        judged = [(row, why_not(row)) for row in rows]
        eligible = [row for row, why in judged if why is None]
        return self._frame.page(
            "confirm.html",
            total=len(rows),
            eligible=eligible,
            refused=[(row, why) for row, why in judged if why is not None],
            again=[row for row in eligible if row["job_state"]],
            removing=[row for row in eligible if row["action"] == Action.REMOVE],
            items=sum(row["item_count"] for row in eligible),
            priority=self._priority,
        )

    def _rows(self, sync_ids: list[str]) -> list[stats.Row]:
        """The batches of these names in their order; of one that is unknown, the name alone."""
        found = {row["sync_id"]: row for row in self._frame.db.read(lambda tx: stats.batches_named(tx, sync_ids))}
        return [found.get(sync_id, {"sync_id": sync_id, "status": None}) for sync_id in sync_ids]

    def queue(self) -> Response:
        by, priority = requested_by(), forms.selected().priority
        queue_requests = [queueing.Request(sync_id, by, priority) for sync_id in _ticked()]
        results = self._queue_each(queue_requests)
        queued = len([result for result in results if result["status"] == 201])
        return self._results(f"{queued} of {len(results)} queued", results)

    def _queue_each(self, queue_requests: list[queueing.Request]) -> list[dict[str, Any]]:
        """A result for each, also when an outage or the time ends it before all are queued."""
        deadline, ended, results = time.monotonic() + QUEUED_FOR, "", list[dict[str, Any]]()
        for queue_request in queue_requests:
            try:
                if ended or time.monotonic() > deadline:
                    raise NotTried(f"not tried: {ended or TOO_LONG}; queue it again")
                results.append(self._operations.queue_result(queue_request))
            except IngestdError as error:
                ended = ended or ("" if isinstance(error, NotTried) else str(error))
                results.append({"sync_id": queue_request.sync_id, "status": 503, "job": None, "error": str(error)})
        return results

    def preflight(self) -> Response:
        deadline = time.monotonic() + PLANNED_FOR
        results = [self._plan(sync_id, at_once=time.monotonic() < deadline) for sync_id in _ticked()]
        return self._results("Pre-flight", results)

    def _plan(self, sync_id: str, *, at_once: bool) -> dict[str, Any]:
        try:
            return {"sync_id": sync_id, "plan": self._operations.plan(sync_id, at_once=at_once)}
        except IngestdError as error:
            if status_of(error) >= 500:
                raise
            return {"sync_id": sync_id, "status": status_of(error), "error": str(error)}

    def _results(self, heading: str, results: list[dict[str, Any]]) -> Response:
        status = 503 if all(result.get("status", 200) >= 500 for result in results) else 200
        if status == 503 and not wants_page():
            raise ProblemError(status, results[0]["error"])
        page = self._frame.page("results.html", status, heading=heading, results=results)
        page.headers.update(retry(status))
        return page


def why_not(row: stats.Row) -> str | None:
    """Why a batch cannot be queued now; None if it can, or has a job whose priority can be changed."""
    if row["status"] is None:
        return "there is no such batch"
    if row["job_state"] == JobState.RUNNING:
        return "its job is running"
    if row["status"] == BatchStatus.INVALID:
        return f"it is invalid: {row['last_error']}"
    return None


def _ticked() -> list[str]:
    sync_ids = forms.selected().sync_ids
    if not sync_ids:
        raise ProblemError(400, "No batch is selected. Go back and tick those that you mean.")
    return sync_ids

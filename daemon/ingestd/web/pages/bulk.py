"""Actions on several selected batches: a confirmation first, then one result for each batch."""

import time
from typing import Any

from flask import Response

from ingestd.errors import IngestdError
from ingestd.model import Action, BatchStatus, InvalidBasis, JobState
from ingestd.pipeline import queueing
from ingestd.records import ListedBatch
from ingestd.store.queries import batches
from ingestd.web.operations import Operations, requested_by
from ingestd.web.pages import forms
from ingestd.web.pages.layout import Layout, wants_page
from ingestd.web.problem import ProblemError, retry, status_of

PLANNED_FOR = 5.0
"""Seconds that a request spends planning; the remaining batches are planned in the background."""
QUEUED_FOR = 20.0
"""Seconds that a request spends queueing: it occupies one of few threads, and proxies time out."""
TOO_LONG = "the request ran out of time"


class NotTried(IngestdError):
    """A batch that was not tried, because an earlier one met an outage or took too long."""


class Bulk:
    def __init__(self, layout: Layout, operations: Operations, priority: int) -> None:
        self._layout, self._operations, self._priority = layout, operations, priority

    def confirm(self) -> Response:
        """Shows what queueing the selected batches would do; changes nothing."""
        sync_ids = _selected()
        found = {batch.sync_id: batch for batch in self._layout.db.read(lambda tx: batches.named(tx, sync_ids))}
        refused = {sync_id: why for sync_id in sync_ids if (why := why_not(found.get(sync_id))) is not None}
        eligible = [found[sync_id] for sync_id in sync_ids if sync_id not in refused]
        return self._layout.page(
            "confirm.html",
            total=len(sync_ids),
            eligible=eligible,
            refused=refused,
            again=[batch for batch in eligible if batch.job_state],
            removing=[batch for batch in eligible if batch.action is Action.REMOVE],
            items=sum(batch.item_count for batch in eligible),
            priority=self._priority,
        )

    def queue(self) -> Response:
        by, priority = requested_by(), forms.selected().priority
        queue_requests = [queueing.QueueRequest(sync_id, by, priority) for sync_id in _selected()]
        results = self._queue_each(queue_requests)
        queued = len([result for result in results if result["status"] == 201])
        return self._results(f"{queued} of {len(results)} queued", "Result", results)

    def _queue_each(self, queue_requests: list[queueing.QueueRequest]) -> list[dict[str, Any]]:
        """Queues in order of version; one result for each batch, also if an outage or the time limit ends it early."""
        deadline, ended, results = time.monotonic() + QUEUED_FOR, "", dict[int, dict[str, Any]]()
        for place in self._operations.oldest_first([queue_request.sync_id for queue_request in queue_requests]):
            queue_request = queue_requests[place]
            try:
                if ended or time.monotonic() > deadline:
                    raise NotTried(f"not tried: {ended or TOO_LONG}; queue it again")
                results[place] = self._operations.queue_result(queue_request)
            except IngestdError as error:
                ended = ended or ("" if isinstance(error, NotTried) else str(error))
                results[place] = {"sync_id": queue_request.sync_id, "status": 503, "job": None, "error": str(error)}
        return [results[place] for place in sorted(results)]

    def preflight(self) -> Response:
        deadline = time.monotonic() + PLANNED_FOR
        results = [self._plan(sync_id, at_once=time.monotonic() < deadline) for sync_id in _selected()]
        return self._results("Pre-flight", "Plan", results)

    def _plan(self, sync_id: str, *, at_once: bool) -> dict[str, Any]:
        try:
            plan = self._operations.plan(sync_id, at_once=at_once)
            return {"sync_id": sync_id, "plan": None if isinstance(plan, int) else plan}
        except IngestdError as error:
            if status_of(error) >= 500:
                raise
            return {"sync_id": sync_id, "status": status_of(error), "error": str(error)}

    def _results(self, heading: str, column: str, results: list[dict[str, Any]]) -> Response:
        status = 503 if all(result.get("status", 200) >= 500 for result in results) else 200
        if status == 503 and not wants_page():
            raise ProblemError(status, results[0]["error"])
        page = self._layout.page("results.html", status, heading=heading, column=column, results=results)
        page.headers.update(retry(status))
        return page


def why_not(batch: ListedBatch | None) -> str | None:
    """Why a batch cannot be queued now; None if it can, or has a job whose priority can be changed.

    Queueing checks an invalid batch again, unless its bytes are what makes it invalid.
    """
    if batch is None:
        return "unknown batch"
    if batch.job_state is JobState.RUNNING:
        return "its job is running"
    if batch.status is BatchStatus.INVALID and batch.invalid_basis in (None, InvalidBasis.BYTES):
        return f"it is invalid: {batch.last_error}"
    if batch.status is BatchStatus.HELD:
        return f"it is held, and is approved on its own page: {batch.last_error}"
    return None


def _selected() -> list[str]:
    sync_ids = forms.selected().sync_ids
    if not sync_ids:
        raise ProblemError(400, "No batches selected. Go back and select some.")
    return sync_ids

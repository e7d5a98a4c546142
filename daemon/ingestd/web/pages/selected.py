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
from ingestd.web.pages.frame import Frame
from ingestd.web.problem import Refused, status_of

PLANNED_FOR = 5.0
"""seconds that a request plans batches for; those that are left then are planned in the background"""


class Selected:
    def __init__(self, frame: Frame, operations: Operations, priority: int) -> None:
        self._frame, self._operations, self._priority = frame, operations, priority

    def confirm(self) -> Response:
        """Says what queueing the ticked batches would do, and changes nothing."""
        rows = self._rows(_ticked())
        refused = [(row, why) for row in rows if (why := why_not(row))]
        eligible = [row for row in rows if not why_not(row)]
        return self._frame.page(
            "confirm.html",
            total=len(rows),
            eligible=eligible,
            refused=refused,
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
        wishes = [queueing.Request(sync_id, by, priority) for sync_id in _ticked()]
        results = [self._operations.queue_result(wish) for wish in wishes]
        queued = len([result for result in results if result["status"] == 201])
        return self._results(f"{queued} of {len(results)} queued", results)

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
            return {"sync_id": sync_id, "error": str(error)}

    def _results(self, heading: str, results: list[dict[str, Any]]) -> Response:
        return self._frame.page("results.html", heading=heading, results=results)


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
        raise Refused(400, "No batch is selected. Go back and tick those that you mean.")
    return sync_ids

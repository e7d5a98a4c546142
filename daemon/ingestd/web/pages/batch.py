"""The page of one batch: what it is, what became of its items, and why."""

from typing import Any

from flask import Response, url_for

from ingestd.errors import IngestdError
from ingestd.model import ACTIVE_STATES, Decision, Scope
from ingestd.pipeline import queueing
from ingestd.store import stats
from ingestd.web.api.schemas import ItemsQuery
from ingestd.web.operations import Operations, requested_by
from ingestd.web.pages import forms
from ingestd.web.pages.formatting import brief
from ingestd.web.pages.layout import Layout, back, wants_page
from ingestd.web.problem import status_of
from ingestd.web.views import Views

EVENTS_SHOWN = 50
CONTAINERS_SHOWN = 100


class BatchPage:
    def __init__(self, frame: Layout, views: Views, operations: Operations, priority: int) -> None:
        self._frame, self._looking, self._operations, self._priority = frame, views, operations, priority

    def show(self, sync_id: str) -> Response:
        return self._page(sync_id, forms.query(ItemsQuery))

    def queue(self, sync_id: str) -> Response:
        asked = forms.form(forms.QueueForm)
        scope = Scope(asked.only) if asked.only else Scope.ALL
        queue_request = queueing.Request(sync_id, requested_by(), asked.priority, asked.force, scope)
        try:
            status, _ = self._operations.queue(queue_request)
        except IngestdError as error:
            return self._refused(sync_id, error)
        return back(url_for("pages.batch", sync_id=sync_id), "queued" if status == 201 else "active")

    def cancel(self, sync_id: str) -> Response:
        try:
            self._operations.cancel(sync_id)
        except IngestdError as error:
            return self._refused(sync_id, error)
        return back(url_for("pages.batch", sync_id=sync_id), "cancelled")

    def preflight(self, sync_id: str) -> Response:
        try:
            plan = self._operations.plan(sync_id)
        except IngestdError as error:
            return self._refused(sync_id, error)
        told = None if plan else "The plan is being made in the background; the facts below tell when it is there."
        return self._page(sync_id, ItemsQuery(), plan=plan, told=told)

    def _refused(self, sync_id: str, error: IngestdError) -> Response:
        """The page again, with why not; what is wrong with more than this batch is a page of its own."""
        status = status_of(error)
        if status != 409 or not wants_page():
            raise error
        return self._page(sync_id, ItemsQuery(), status, wrong=str(error))

    def _page(self, sync_id: str, query: ItemsQuery, status: int = 200, **values: Any) -> Response:
        batch = self._looking.detail(sync_id)
        rows, after = self._looking.items(batch["id"], decision=query.decision, after=query.after, limit=query.limit)
        here: dict[str, Any] = query.model_dump(exclude={"after"}, exclude_defaults=True)
        here |= {"sync_id": sync_id, "_anchor": "items"}
        return self._frame.page(
            "batch.html",
            status,
            address=url_for("pages.batch", **(here | {"after": query.after, "_anchor": None})),
            batch=batch,
            active=next((job for job in batch["jobs"] if job["state"] in ACTIVE_STATES), None),
            priority=self._priority,
            containers=self._looking.containers(batch["id"], limit=CONTAINERS_SHOWN),
            rows=rows,
            decision=query.decision,
            decisions=[decision.value for decision in Decision],
            first=url_for("pages.batch", **here) if query.after is not None else None,
            following=url_for("pages.batch", **here, after=after) if after is not None else None,
            events=self._events(batch["id"]),
            **values,
        )

    def _events(self, batch_id: int) -> list[stats.Row]:
        events, _ = self._looking.events(batch_id, before=stats.NEWEST, limit=EVENTS_SHOWN)
        return [{**event, "brief": brief(event["payload"])} for event in events]

"""The page of one batch: details, plan, jobs, items and events."""

from typing import Any

from flask import Response, url_for

from ingestd.errors import IngestdError
from ingestd.model import Decision, JobState, Scope
from ingestd.pipeline import queueing
from ingestd.web.api.schemas import EventsQuery, ItemsQuery
from ingestd.web.operations import Operations, requested_by
from ingestd.web.pages import forms
from ingestd.web.pages.layout import Layout, back, wants_page
from ingestd.web.problem import status_of
from ingestd.web.views import Views

EVENTS_SHOWN = 50
CONTAINERS_SHOWN = 100


class BatchPage:
    def __init__(self, layout: Layout, views: Views, operations: Operations, priority: int) -> None:
        self._layout, self._views, self._operations, self._priority = layout, views, operations, priority

    def show(self, sync_id: str) -> Response:
        return self._page(sync_id, forms.query(ItemsQuery))

    def queue(self, sync_id: str) -> Response:
        options = forms.form(forms.QueueForm)
        scope = Scope(options.only) if options.only else Scope.ALL
        approved = (options.manifest_sha256, options.max_removals) if options.force else (None, None)
        given = (options.priority, options.force, scope, *approved, options.job_id)
        queue_request = queueing.QueueRequest(sync_id, requested_by(), *given)
        try:
            status, _ = self._operations.queue(queue_request)
        except IngestdError as error:
            return self._refused(sync_id, error)
        return back(url_for("pages.batch", sync_id=sync_id), "queued" if status == 201 else "active")

    def cancel(self, sync_id: str) -> Response:
        try:
            cancelled = self._operations.cancel(sync_id, forms.form(forms.CancelForm).job_id)
        except IngestdError as error:
            return self._refused(sync_id, error)
        notice = "cancelled" if cancelled.state is JobState.CANCELLED else "retry_cancelled"
        return back(url_for("pages.batch", sync_id=sync_id), notice)

    def preflight(self, sync_id: str) -> Response:
        try:
            plan_or_id = self._operations.plan(sync_id)
        except IngestdError as error:
            return self._refused(sync_id, error)
        plan = None if isinstance(plan_or_id, int) else plan_or_id
        message = None if plan else "Planning continues in the background; the details below show when it is done."
        return self._page(sync_id, ItemsQuery(), plan=plan, message=message)

    def _refused(self, sync_id: str, error: IngestdError) -> Response:
        """The same page with the error; an error that concerns more than this batch has a page of its own."""
        status = status_of(error)
        if status != 409 or not wants_page():
            raise error
        return self._page(sync_id, ItemsQuery(), status, wrong=str(error))

    def _page(self, sync_id: str, query: ItemsQuery, status: int = 200, **values: Any) -> Response:
        batch = self._views.detail(sync_id)
        rows, after = self._views.items(batch.id, decision=query.decision, after=query.after, limit=query.limit)
        here: dict[str, Any] = query.model_dump(exclude={"after"}, exclude_defaults=True)
        here |= {"sync_id": sync_id, "_anchor": "items"}
        return self._layout.page(
            "batch.html",
            status,
            address=url_for("pages.batch", **(here | {"after": query.after, "_anchor": None})),
            batch=batch,
            active=next((job for job in batch.jobs if job.is_active), None),
            priority=self._priority,
            containers=self._views.containers(batch.id, limit=CONTAINERS_SHOWN),
            rows=rows,
            decision=query.decision,
            decisions=[decision.value for decision in Decision],
            first=url_for("pages.batch", **here) if query.after is not None else None,
            following=url_for("pages.batch", **here, after=after) if after is not None else None,
            events=self._views.events(EventsQuery(sync_id=sync_id, limit=EVENTS_SHOWN))[0],
            **values,
        )

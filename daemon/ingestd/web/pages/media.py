"""Import Media: the table of batches, with scan, pause and resume."""

from typing import Any

from flask import Response, request, url_for

from ingestd.model import Action, BatchStatus, RequestState
from ingestd.records import IngestRequest, ListedBatch, StuckBundle
from ingestd.store import request as requests
from ingestd.store.db import Tx
from ingestd.store.queries import batches, jobs, stuck
from ingestd.store.queries.paging import Page
from ingestd.web.api.queries import before
from ingestd.web.api.schemas import BatchesQuery
from ingestd.web.operations import Operations
from ingestd.web.pages import forms
from ingestd.web.pages.formatting import plural
from ingestd.web.pages.layout import MAX_COUNTED, Layout, back, local_address

SCAN_SHOWN_SECONDS = 600.0
"""How long the outcome of a requested scan is shown."""
STUCK_SHOWN = 10


class Media:
    def __init__(self, layout: Layout, operations: Operations) -> None:
        self._layout, self._operations = layout, operations

    def show(self) -> Response:
        query = forms.query(BatchesQuery)
        filters = batches.Filter(query.status, query.action, query.prefix)

        def look(tx: Tx) -> tuple[Page[ListedBatch], dict[str, int], str, list[StuckBundle]]:
            counts = jobs.counts_up_to(tx, MAX_COUNTED + 1)
            scan = scan_outcome(requests.newest_scan(tx, SCAN_SHOWN_SECONDS))
            found = batches.page(tx, filters, before=before(query), limit=query.limit)
            return found, counts, scan, stuck.oldest(tx, STUCK_SHOWN + 1)

        (rows, after), counts, scan, stuck_bundles = self._layout.db.read(look)
        parameters: dict[str, Any] = query.model_dump(exclude={"after"}, exclude_defaults=True)
        return self._layout.page(
            "media.html",
            rows=rows,
            counts=counts,
            scan=scan,
            stuck=stuck_bundles[:STUCK_SHOWN],
            has_more_stuck=len(stuck_bundles) > STUCK_SHOWN,
            query=query,
            is_filtered=filters != batches.Filter(),
            statuses=[status.value for status in BatchStatus],
            actions=[action.value for action in Action],
            first=url_for("pages.media", **parameters) if query.after is not None else None,
            following=url_for("pages.media", **parameters, after=after) if after is not None else None,
        )

    def scan(self) -> Response:
        self._operations.scan()
        return _back()

    def pause(self) -> Response:
        self._operations.pause(forms.form(forms.PauseForm).reason)
        return _back("paused")

    def resume(self) -> Response:
        self._operations.resume()
        return _back("resumed")


def scan_outcome(scan: IngestRequest | None) -> str:
    """The state of a requested scan as a sentence; empty if there is none."""
    if scan is None:
        return ""
    if scan.state is RequestState.FAILED:
        return f"Scan failed: {scan.error}"
    if scan.result is None:
        return "Scan started…"
    found, unreadable = len(scan.result["sync_ids"]), scan.result["unrecorded"]
    outcome = plural(found, "new or changed batch", "new or changed batches") if found else "nothing new"
    waiting = f", {plural(unreadable, 'bundle')} without a readable manifest" if unreadable else ""
    return f"Scan finished: {outcome}{waiting}."


def _back(notice: str = "") -> Response:
    """Redirects to the page that the form was on."""
    return back(local_address(request.form.get("next", "")), notice)

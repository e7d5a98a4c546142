"""The ledger: events of all batches, newest first."""

from typing import Any

from flask import Response, url_for

from ingestd.event_sentences import EVENT_TYPES
from ingestd.web.api.schemas import EventsQuery
from ingestd.web.pages import forms
from ingestd.web.pages.layout import Layout
from ingestd.web.views import Views

PAGING = {"after", "limit", "above"}


class Ledger:
    def __init__(self, layout: Layout, views: Views) -> None:
        self._layout, self._views = layout, views

    def show(self) -> Response:
        query = forms.query(EventsQuery)
        rows, after = self._views.events(query)
        parameters: dict[str, Any] = query.model_dump(mode="json", exclude={"after"}, exclude_defaults=True)
        return self._layout.page(
            "ledger.html",
            rows=rows,
            query=query,
            is_filtered=bool(parameters.keys() - PAGING),
            types=EVENT_TYPES,
            first=url_for("pages.ledger", **parameters) if query.after is not None else None,
            following=url_for("pages.ledger", **parameters, after=after) if after is not None else None,
        )

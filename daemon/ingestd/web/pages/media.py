"""Import Media: the table of batches, and what concerns all of them."""

from collections.abc import Callable
from typing import Any

from flask import Response, url_for

from ingestd.model import Action, BatchStatus
from ingestd.store import stats
from ingestd.store.db import Tx
from ingestd.web.operations import Operations
from ingestd.web.pages import forms
from ingestd.web.pages.frame import COUNTED, Frame, back
from ingestd.web.schemas import NEWEST, BatchesQuery


class Media:
    def __init__(self, frame: Frame, operations: Operations, rescan: Callable[[], Any]) -> None:
        self._frame, self._operations, self._rescan = frame, operations, rescan

    def show(self) -> Response:
        query = forms.query(BatchesQuery)
        wanted = stats.Filter(query.status, query.action, query.prefix)
        before = NEWEST if query.after is None else query.after

        def look(tx: Tx) -> tuple[stats.Page, dict[str, int]]:
            return stats.batch_page(tx, wanted, before=before, most=query.limit), stats.job_counts_up_to(tx, COUNTED)

        (rows, after), counts = self._frame.db.read(look)
        asked: dict[str, Any] = query.model_dump(exclude={"after"}, exclude_defaults=True)
        return self._frame.page(
            "media.html",
            rows=rows,
            counts=counts,
            query=query,
            is_filtered=wanted != stats.Filter(),
            statuses=[status.value for status in BatchStatus],
            actions=[action.value for action in Action],
            first=url_for("pages.media", **asked) if query.after is not None else None,
            following=url_for("pages.media", **asked, after=after) if after is not None else None,
        )

    def scan(self) -> Response:
        self._rescan()
        return back(url_for("pages.media"), "scan")

    def pause(self) -> Response:
        self._operations.pause(forms.form(forms.PauseForm).reason)
        return back(url_for("pages.media"), "paused")

    def resume(self) -> Response:
        self._operations.resume()
        return back(url_for("pages.media"), "resumed")

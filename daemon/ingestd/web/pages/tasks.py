"""Import Tasks: active jobs in the order of their turn, and recently finished ones."""

from datetime import datetime
from typing import Any

from flask import Response

from ingestd.store import stats
from ingestd.store.db import Tx
from ingestd.web.pages.layout import MAX_COUNTED, Layout

ACTIVE_SHOWN = 100
FINISHED_SHOWN = 50


class Tasks:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def show(self) -> Response:
        found = self._layout.db.read(_look)
        return self._layout.page("tasks.html", **found)


def _look(tx: Tx) -> dict[str, Any]:
    now, at_claim = stats.running_since(tx)
    active = stats.active_jobs(tx, limit=ACTIVE_SHOWN)
    counts = stats.job_counts_up_to(tx, MAX_COUNTED + 1)
    return {
        "active": [{**row, **pace(row, at_claim.get(row["id"]), now)} for row in active],
        "unshown": max(0, sum(counts.values()) - len(active)),
        "counts": counts,
        "finished": stats.finished_jobs(tx, limit=FINISHED_SHOWN),
    }


def pace(job: stats.Row, at_claim: int | None, now: datetime) -> dict[str, float | None]:
    """Items per second since the claim, seconds left at this rate, seconds since the last heartbeat.

    `at_claim`: items done before the claim; None if the job is not running.
    """
    if at_claim is None or job["claimed_at"] is None:
        return {"rate": None, "left": None, "silence": None}
    seconds = (now - job["claimed_at"]).total_seconds()
    done = job["items_done"] - at_claim
    rate = done / seconds if done > 0 and seconds > 0 else None
    left = (job["items_total"] - job["items_done"]) / rate if rate else None
    silence = (now - job["heartbeat_at"]).total_seconds() if job["heartbeat_at"] else None
    return {"rate": rate, "left": left, "silence": silence}

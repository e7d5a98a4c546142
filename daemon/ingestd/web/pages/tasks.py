"""Import Tasks: active jobs in the order of their turn, and recently finished ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response

from ingestd.model import JobState
from ingestd.records import Job
from ingestd.store.db import Tx
from ingestd.store.queries import jobs, server
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
    active, now = jobs.active(tx, limit=ACTIVE_SHOWN), server.now(tx)
    counts = jobs.counts_up_to(tx, MAX_COUNTED + 1)
    return {
        "active": [(job, pace(job, now)) for job in active],
        "unshown": max(0, sum(counts.values()) - len(active)),
        "counts": counts,
        "finished": jobs.finished(tx, limit=FINISHED_SHOWN),
    }


@dataclass(frozen=True, slots=True)
class Pace:
    """Items per second since the claim, seconds left at this rate, seconds since the last heartbeat; None: unknown."""

    rate: float | None = None
    left: float | None = None
    silence: float | None = None


def pace(job: Job, now: datetime) -> Pace:
    if job.state is not JobState.RUNNING or job.claimed_at is None:
        return Pace()
    seconds = (now - job.claimed_at).total_seconds()
    done = job.items_done - job.items_at_claim
    rate = done / seconds if done > 0 and seconds > 0 else None
    left = (job.items_total - job.items_done) / rate if rate else None
    return Pace(rate, left, (now - job.heartbeat_at).total_seconds() if job.heartbeat_at else None)

"""What everybody with a token may look at: batches, their items and events, and jobs."""

from typing import Any

import orjson
from flask import Response

from ingestd.errors import NotFound
from ingestd.model import ACTIVE_STATES, Decision
from ingestd.store import item, stats
from ingestd.store.db import Database, Tx
from ingestd.web.answers import answer, page
from ingestd.web.planner import Planner
from ingestd.web.schemas import (
    NEWEST,
    Batch,
    BatchDetail,
    BatchesQuery,
    BatchPath,
    ItemsQuery,
    JobPath,
    JobsQuery,
    PageQuery,
)

JOBS_SHOWN = 10
UNHAPPY = (Decision.FAILED, Decision.WILL_FAIL, Decision.DEFERRED, Decision.WILL_DEFER)


def before(query: PageQuery) -> int:
    """The cursor of lists that go from new to old."""
    return NEWEST if query.after is None else query.after


class Reading:
    def __init__(self, db: Database, planner: Planner) -> None:
        self._db, self._planner = db, planner

    def batches(self, query: BatchesQuery) -> Response:
        """Batches, newest first. Looks at 2,000 for one page of a common prefix: it may be short."""
        wanted = stats.Filter(query.status, query.action, query.prefix)
        rows, after = self._db.read(lambda tx: stats.batch_page(tx, wanted, before=before(query), most=query.limit))
        return page(([_only(Batch, row) for row in rows], after))

    def batch(self, path: BatchPath) -> Response:
        """One batch: what it is, what was decided of its items, what failed, and its newest jobs."""
        row = self._known(path.sync_id)
        counts = self._db.read(lambda tx: item.tally_by_reason(tx, row["id"]))
        decisions: dict[str, int] = {}
        for (decision, _), count in sorted(counts.items()):
            decisions[decision] = decisions.get(decision, 0) + count
        jobs = self._db.read(lambda tx: stats.jobs_of_batch(tx, row["sync_id"], row["id"], most=JOBS_SHOWN))
        found = {
            "manifest_summary": _json(row["manifest_summary"]),
            "decisions": decisions,
            "failures": _failures(counts),
            "preflight": self._planner.state(path.sync_id),
            "jobs": jobs,
        }
        return answer(_only(BatchDetail, {**row, **found}))

    def items(self, path: BatchPath, query: ItemsQuery) -> Response:
        """Listed items of a batch, in order of the manifest. Looks at 2,000 for one page: it may be short."""
        row, after = self._known(path.sync_id), -1 if query.after is None else query.after
        rows, following = self._db.read(
            lambda tx: stats.item_page(tx, row["id"], decision=query.decision, after=after, most=query.limit)
        )
        return page(([{**found, "target_ids": _json(found["target_ids"])} for found in rows], following))

    def events(self, path: BatchPath, query: PageQuery) -> Response:
        """What happened to a batch, newest first."""
        row = self._known(path.sync_id)
        rows, after = self._db.read(lambda tx: stats.event_page(tx, row["id"], before=before(query), most=query.limit))
        return page(([{**found, "payload": _json(found["payload"])} for found in rows], after))

    def jobs(self, query: JobsQuery) -> Response:
        """Jobs, newest first."""

        def work(tx: Tx) -> stats.Page:
            is_active = query.state in ACTIVE_STATES
            return stats.job_page(tx, state=query.state, is_active=is_active, before=before(query), most=query.limit)

        return page(self._db.read(work))

    def job(self, path: JobPath) -> Response:
        """One job."""
        row = self._db.read(lambda tx: stats.job(tx, path.job_id))
        if row is None:
            raise NotFound(f"there is no job {path.job_id}")
        return answer(row)

    def _known(self, sync_id: str) -> stats.Row:
        row = self._db.read(lambda tx: stats.batch(tx, sync_id))
        if row is None:
            raise NotFound(f"there is no batch {sync_id}")
        return row


def _only(model: type[Batch], row: stats.Row) -> stats.Row:
    """The columns that the interface tells: the id of a row is nobody's business."""
    return {name: row[name] for name in model.model_fields}


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _failures(counts: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    groups = [(count, decision, reason) for (decision, reason), count in counts.items() if decision in UNHAPPY]
    groups.sort(key=lambda group: (-group[0], group[1:]))
    return [{"decision": decision, "reason": reason or None, "items": count} for count, decision, reason in groups]

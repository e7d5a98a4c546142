"""What everybody with a token may look at: batches, their items and events, and jobs."""

from flask import Response

from ingestd.errors import NotFound
from ingestd.model import ACTIVE_STATES
from ingestd.store import request, stats
from ingestd.store.db import Tx
from ingestd.web.api.schemas import (
    Batch,
    BatchDetail,
    BatchesQuery,
    BatchPath,
    ItemsQuery,
    JobPath,
    JobsQuery,
    PageQuery,
    RequestPath,
)
from ingestd.web.responses import answer, page
from ingestd.web.views import Views


def before(query: PageQuery) -> int:
    """The cursor of lists that go from new to old."""
    return stats.NEWEST if query.after is None else query.after


class Queries:
    def __init__(self, views: Views) -> None:
        self._looking, self._db = views, views.db

    def batches(self, query: BatchesQuery) -> Response:
        """Batches, newest first. Looks at 2,000 for one page of a common prefix: it may be short."""
        wanted = stats.Filter(query.status, query.action, query.prefix)
        rows, after = self._db.read(lambda tx: stats.batch_page(tx, wanted, before=before(query), limit=query.limit))
        return page(([_only(Batch, row) for row in rows], after))

    def batch(self, path: BatchPath) -> Response:
        """One batch: what it is, what was decided of its items, what failed, and its newest jobs."""
        return answer(_only(BatchDetail, self._looking.detail(path.sync_id)))

    def items(self, path: BatchPath, query: ItemsQuery) -> Response:
        """Listed items of a batch, in order of the manifest. Looks at 2,000 for one page: it may be short."""
        batch_id = self._looking.batch(path.sync_id)["id"]
        return page(self._looking.items(batch_id, decision=query.decision, after=query.after, limit=query.limit))

    def events(self, path: BatchPath, query: PageQuery) -> Response:
        """What happened to a batch, newest first."""
        batch_id = self._looking.batch(path.sync_id)["id"]
        return page(self._looking.events(batch_id, before=before(query), limit=query.limit))

    def jobs(self, query: JobsQuery) -> Response:
        """Jobs, newest first."""

        def work(tx: Tx) -> stats.Page:
            is_active = query.state in ACTIVE_STATES
            return stats.job_page(tx, state=query.state, is_active=is_active, before=before(query), limit=query.limit)

        return page(self._db.read(work))

    def job(self, path: JobPath) -> Response:
        """One job."""
        row = self._db.read(lambda tx: stats.job(tx, path.job_id))
        if row is None:
            raise NotFound(f"there is no job {path.job_id}")
        return answer(row)

    def request(self, path: RequestPath) -> Response:
        """A scan or a pre-flight that was accepted: its state, and its result once it is done."""
        found = self._db.read(lambda tx: request.find(tx, path.request_id))
        if found is None:
            raise NotFound(f"there is no request {path.request_id}; it may have ended long ago")
        return answer(found)


def _only(model: type[Batch], row: stats.Row) -> stats.Row:
    """The columns that the interface tells: the id of a row is nobody's business."""
    return {name: row[name] for name in model.model_fields}

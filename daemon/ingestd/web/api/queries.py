"""The read routes, for every role: batches, their items and events, and jobs."""

from flask import Response

from ingestd.errors import NotFound
from ingestd.store import job, request
from ingestd.store.queries import batches, jobs, paging, stuck
from ingestd.store.queries.overview import overview
from ingestd.web.api.schemas import (
    BatchesQuery,
    BatchPath,
    EventsQuery,
    ItemsQuery,
    JobPath,
    JobsQuery,
    PageQuery,
    RequestPath,
    StuckQuery,
)
from ingestd.web.responses import answer, page
from ingestd.web.views import Views


def before(query: PageQuery) -> int:
    """The cursor of a list that is ordered from new to old."""
    return paging.NEWEST if query.after is None else query.after


class Queries:
    def __init__(self, views: Views) -> None:
        self._views, self._db = views, views.db

    def status(self) -> Response:
        """The state of the queue on all hosts."""
        return answer(self._db.read(overview))

    def stuck(self, query: StuckQuery) -> Response:
        """Bundles that cannot be read or recorded, the oldest first."""
        return answer({"items": self._db.read(lambda tx: stuck.oldest(tx, query.limit))})

    def batches(self, query: BatchesQuery) -> Response:
        """Batches, newest first. A page searches 2,000 rows, so with a common prefix it may be short."""
        wanted = batches.Filter(query.status, query.action, query.prefix)
        found = self._db.read(lambda tx: batches.page(tx, wanted, before=before(query), limit=query.limit))
        return page(found)

    def batch(self, path: BatchPath) -> Response:
        """One batch, with the decisions and failures of its items, and its newest jobs."""
        return answer(self._views.detail(path.sync_id))

    def items(self, path: BatchPath, query: ItemsQuery) -> Response:
        """Listed items of a batch, in the order of the manifest. A page searches 2,000 rows, so it may be short."""
        batch_id = self._views.batch(path.sync_id).id
        return page(self._views.items(batch_id, decision=query.decision, after=query.after, limit=query.limit))

    def batch_events(self, path: BatchPath, query: PageQuery) -> Response:
        """Events of a batch, newest first."""
        known = self._views.batch(path.sync_id)  # else a name that no batch can have would not be an EventsQuery
        return page(self._views.events(EventsQuery(sync_id=known.sync_id, limit=query.limit, after=query.after)))

    def events(self, query: EventsQuery) -> Response:
        """Events of all batches, newest first. A page of several filters searches 2,000 events, so it may be short."""
        return page(self._views.events(query))

    def jobs(self, query: JobsQuery) -> Response:
        """Jobs, newest first."""
        state, limit = query.state, query.limit
        return page(self._db.read(lambda tx: jobs.page(tx, state=state, before=before(query), limit=limit)))

    def recent_jobs(self) -> Response:
        """Running, queued and waiting jobs, then the 50 that ended last."""
        return answer({"items": self._db.read(jobs.recent)})

    def job(self, path: JobPath) -> Response:
        """One job."""
        found = self._db.read(lambda tx: job.find(tx, path.job_id))
        if found is None:
            raise NotFound(f"there is no job {path.job_id}")
        return answer(found)

    def request(self, path: RequestPath) -> Response:
        """A scan or a pre-flight that was accepted: its state, and its result once it is done."""
        found = self._db.read(lambda tx: request.find(tx, path.request_id))
        if found is None:
            raise NotFound(f"there is no request {path.request_id}; it may have ended long ago")
        return answer(found)

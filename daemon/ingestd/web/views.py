"""Batches in detail, for the HTTP interface and the pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestd.errors import no_batch
from ingestd.model import Decision, Reason
from ingestd.records import Container, Event, Item, Job, SummarizedBatch, as_dict
from ingestd.removal_counts import StoredRemovals
from ingestd.store import batch_container, item, removal, request
from ingestd.store.db import Database
from ingestd.store.queries import batches, events, items, jobs
from ingestd.store.queries.paging import NEWEST, Page
from ingestd.store.request import PreflightState
from ingestd.web.api.schemas import EventsQuery

JOBS_SHOWN = 10
NEEDS_ATTENTION = (Decision.FAILED, Decision.WILL_FAIL, Decision.DEFERRED, Decision.WILL_DEFER)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """How many items failed, will fail or wait for one reason."""

    decision: Decision
    reason: Reason | None
    items: int


@dataclass(frozen=True, slots=True)
class BatchDetail(SummarizedBatch):
    """A batch with the decisions on its items, its failures and its newest jobs."""

    decisions: dict[str, int] = field(metadata={"description": "Listed items by decision."})
    containers: dict[str, int] = field(metadata={"description": "Listed containers by decision."})
    failures: list[FailureGroup] = field(metadata={"description": "Failing and waiting items by reason, most first."})
    removals: StoredRemovals = field(
        metadata={"description": "Rows that the batch takes out of sight; covers count as files."}
    )
    preflight: PreflightState
    jobs: list[Job] = field(metadata={"description": "The newest jobs of this batch."})


class Views:
    def __init__(self, db: Database) -> None:
        self.db = db

    def batch(self, sync_id: str) -> SummarizedBatch:
        """Raises NotFound."""
        found = self.db.read(lambda tx: batches.find(tx, sync_id))
        if found is None:
            raise no_batch(sync_id)
        return found

    def detail(self, sync_id: str) -> BatchDetail:
        """Raises NotFound."""
        found = self.batch(sync_id)
        counts = self.db.read(lambda tx: item.tally_by_reason(tx, found.id))
        return BatchDetail(
            **as_dict(found),
            decisions=_decisions(counts),
            containers=dict(self.db.read(lambda tx: batch_container.tally(tx, found.id))),
            failures=_failures(counts),
            removals=self.db.read(lambda tx: removal.find(tx, found.id, found.manifest_sha256)),
            preflight=self.db.read(lambda tx: request.preflight_state(tx, sync_id)),
            jobs=self.db.read(lambda tx: jobs.of_batch(tx, found.id, limit=JOBS_SHOWN)),
        )

    def items(self, batch_id: int, *, decision: str | None, after: int | None, limit: int) -> Page[Item]:
        """Listed items, in order of the manifest; `after` None: from the first on."""
        start = -1 if after is None else after
        return self.db.read(lambda tx: items.page(tx, batch_id, decision=decision, after=start, limit=limit))

    def events(self, query: EventsQuery) -> Page[Event]:
        """The events that a query is for, newest first. Raises NotFound for an unknown batch."""
        batch_id = None if query.sync_id is None else self.batch(query.sync_id).id
        wanted = events.Filter(batch_id, query.type, query.by, query.since, query.above)
        before = NEWEST if query.after is None else query.after
        return self.db.read(lambda tx: events.page(tx, wanted, before=before, limit=query.limit))

    def containers(self, batch_id: int, *, limit: int) -> list[Container]:
        """Listed containers, in order of the manifest."""
        return self.db.read(lambda tx: items.containers(tx, batch_id, limit=limit))


def _decisions(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    decisions: dict[str, int] = {}
    for (decision, _), count in sorted(counts.items()):
        decisions[decision] = decisions.get(decision, 0) + count
    return decisions


def _failures(counts: Mapping[tuple[str, str], int]) -> list[FailureGroup]:
    groups = [(count, decision, reason) for (decision, reason), count in counts.items() if decision in NEEDS_ATTENTION]
    groups.sort(key=lambda group: (-group[0], group[1:]))
    return [FailureGroup(Decision(decision), Reason(reason) if reason else None, n) for n, decision, reason in groups]

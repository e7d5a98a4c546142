"""Commands of operators run in this process, with the database and the mount of this host."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ingestd.cli.operate import ScanResult
from ingestd.cli.output import Row, echo, queued_row
from ingestd.cli.session import Session
from ingestd.errors import no_batch
from ingestd.model import Scope
from ingestd.pipeline import cancelling, ordering, pausing, queueing
from ingestd.pipeline import preflight as planning
from ingestd.pipeline.scan_limit import ScanLimit
from ingestd.pipeline.scanner import Scanner
from ingestd.records import Event, Item, Job, ListedBatch, Standing, SummarizedBatch
from ingestd.store import batch_container, item, removal
from ingestd.store.db import Tx
from ingestd.store.queries import batches, events, items, jobs
from ingestd.store.queries.events import Filter
from ingestd.store.queries.overview import Overview, overview
from ingestd.store.queries.paging import NEWEST, Page
from ingestd.wording import counted

T = TypeVar("T")


class Local:
    """Runs them in this process, with the database and the mount of this host."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def scan(self) -> ScanResult:
        scanner = Scanner(self._session.context)
        limit = ScanLimit(_report_wait)
        names = scanner.scan(limit=limit)
        found = [self._session.context.db.read(partial(batches.find, sync_id=name)) for name in names]
        waiting = scanner.unrecorded_reasons
        return ScanResult([batch for batch in found if batch], len(waiting), waiting, limit.left_out)

    def preflight(self, sync_id: str) -> Row:
        known_batch(self._session, sync_id)
        return {"sync_id": sync_id, **planning.preflight(self._session.context, sync_id)}

    def queue(self, sync_id: str, priority: int | None, force: bool, scope: Scope) -> Row:
        request = queueing.QueueRequest(sync_id, self._session.requested_by, priority, force, scope)
        queued = queueing.enqueue(self._session.context, request)
        return queued_row(queued.job, is_new=queued.is_new)

    def oldest_first(self, sync_ids: Sequence[str]) -> list[int]:
        return ordering.oldest_first(self._session.context, sync_ids)

    def cancel(self, sync_id: str) -> Row:
        cancelled = cancelling.cancel(self._session.context, sync_id, self._session.requested_by)
        return {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}

    def standing(self, sync_id: str) -> Standing:
        read, known = self._session.context.db.read, known_batch(self._session, sync_id)
        return Standing(
            known,
            decisions=dict(read(lambda tx: item.tally(tx, known.id))),
            containers=dict(read(lambda tx: batch_container.tally(tx, known.id))),
            removals=read(lambda tx: removal.find(tx, known.id, known.manifest_sha256)),
            jobs=read(lambda tx: jobs.of_batch(tx, known.id)),
        )

    def items(self, sync_id: str, page: int) -> Iterator[Item]:
        known = known_batch(self._session, sync_id)
        return self._pages(lambda tx, after: items.page(tx, known.id, after=after, limit=page), -1)

    def events(self, sync_id: str | None, wanted: Filter, page: int) -> Iterator[Event]:
        of_batch = wanted if sync_id is None else replace(wanted, batch_id=known_batch(self._session, sync_id).id)
        return self._pages(lambda tx, before: events.page(tx, of_batch, before=before, limit=page), NEWEST)

    def _pages(self, read: Callable[[Tx, int], Page[T]], first: int) -> Iterator[T]:
        """The records of a list, read in pages; `first` is the cursor of the first one."""
        cursor: int | None = first
        while cursor is not None:
            found, cursor = self._session.context.db.read(partial(_at, read, cursor))
            yield from found

    def pause(self, reason: str | None) -> bool:
        return pausing.pause(self._session.context, self._session.requested_by, reason)

    def resume(self) -> bool:
        return pausing.resume(self._session.context, self._session.requested_by)

    def accept_mount(self) -> Row:
        before, found = self._session.context.gate.accept(self._session.requested_by)
        return {"from": None if before is None else str(before), "to": str(found)}

    def overview(self) -> Overview:
        return self._session.context.db.read(overview)

    def batches(self, status: str | None, limit: int) -> Iterator[ListedBatch]:
        wanted = batches.Filter(status=status)
        yield from self._session.context.db.read(lambda tx: batches.page(tx, wanted, before=NEWEST, limit=limit))[0]

    def jobs(self) -> list[Job]:
        return self._session.context.db.read(jobs.recent)

    def beginning_with(self, prefix: str) -> list[str]:
        return self._session.context.db.read(lambda tx: batches.beginning_with(tx, prefix))


def _at(read: Callable[[Tx, int], Page[T]], cursor: int, tx: Tx) -> Page[T]:
    return read(tx, cursor)


def _report_wait(sync_ids: Collection[str]) -> None:
    example = min(sync_ids)
    echo(f"waiting for {counted(len(sync_ids), 'slow manifest')}, such as sync/{example}.json")


def known_batch(session: Session, sync_id: str) -> SummarizedBatch:
    """Raises NotFound."""
    found = session.context.db.read(lambda tx: batches.find(tx, sync_id))
    if found is None:
        raise no_batch(sync_id)
    return found

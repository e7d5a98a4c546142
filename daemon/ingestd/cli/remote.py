"""Commands of operators that a daemon on another host runs. They need no configuration, database or mount here."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import urlencode

import msgspec

from ingestd import decide
from ingestd.backoff import backoff
from ingestd.cli.client import Client, shaped
from ingestd.cli.operate import ScanResult
from ingestd.cli.output import Row, echo, queued_row
from ingestd.errors import DaemonBusy, DaemonUnavailable, NoDaemon, NotEligible, NotFound, no_batch
from ingestd.model import RequestState, Scope
from ingestd.pipeline.ignored_names import MAX_WARNINGS, log_ignored
from ingestd.pipeline.preflight import FORECASTS
from ingestd.pipeline.requests import MAX_SYNC_IDS
from ingestd.records import Event, IngestRequest, Item, Job, ListedBatch, Standing, SummarizedBatch
from ingestd.removal_counts import Removals
from ingestd.store.queries.events import Filter
from ingestd.store.queries.overview import Overview
from ingestd.web.api.schemas import MAX_PAGE
from ingestd.web.views import BatchDetail

FIRST_PAUSE, MAX_PAUSE = 0.1, 2.0
ANNOUNCE_SECONDS, GIVE_UP_SECONDS = 5.0, 3600.0
BUSY_SECONDS, ALL_BUSY_SECONDS = 20.0, 60.0
"""how long a busy daemon is asked again, for one batch and for all batches of a command"""
FORWARD, BACKWARD = 1, -1
MAX_PAGES = 10_000
"""of one list; a page has up to 500 records, or searches about 2,000 rows"""
NAME = re.compile(r"[0-9A-Za-z-]{1,64}")
STANDING = {
    RequestState.QUEUED: "queued; no host with a mount has taken it yet",
    RequestState.RUNNING: "running",
}

T = TypeVar("T")


# the parts of responses that are used; other parts are ignored


class _Job(msgspec.Struct):
    id: int
    state: str
    priority: int
    scope: str


class _NewJob(_Job):
    pass


class _Sample(msgspec.Struct):
    type: str
    hash: str
    error: str | None


class _Plan(msgspec.Struct):
    ok: bool | int
    counts: dict[str, int]
    item_count: int
    item_type_counts: dict[str, int]
    failure_samples: list[_Sample]
    removals: Removals


class _Accepted(msgspec.Struct):
    id: int


class _Changed(msgspec.Struct):
    changed: bool


class _MountAccepted(msgspec.Struct):
    before: str | None = msgspec.field(name="from")
    to: str


class _Page(msgspec.Struct, Generic[T]):
    items: list[T]
    next: int | None


class _ItemPage(_Page[Item]):
    pass


class _EventPage(_Page[Event]):
    pass


class _BatchPage(_Page[ListedBatch]):
    pass


class _JobList(msgspec.Struct):
    items: list[Job]


class _FoundByScan(msgspec.Struct):
    sync_ids: list[str]
    unrecorded: int
    unrecorded_ids: list[str] = []
    unrecorded_reasons: dict[str, str] = {}
    ignored_names: list[str] = []
    ignored_count: int = 0


# the commands


class Remote:
    """Runs the commands through a daemon on another host; returns the same rows as locally."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._busy_seconds_left = ALL_BUSY_SECONDS

    def scan(self) -> ScanResult:
        request_id = self._client.post("/scan", {202: _Accepted}).id
        found = self._result(request_id, _FoundByScan, "the scan")
        log_ignored(found.ignored_names[:MAX_WARNINGS], found.ignored_count)
        if len(found.sync_ids) >= MAX_SYNC_IDS:
            echo(f"only the first {MAX_SYNC_IDS} batches are shown; `ingestd batches` there lists them all")
        rows = [self._batch(sync_id) for sync_id in found.sync_ids[:MAX_SYNC_IDS]]
        reasons = {sync_id: found.unrecorded_reasons.get(sync_id, "") for sync_id in found.unrecorded_ids}
        return ScanResult([row for row in rows if row], found.unrecorded, reasons)

    def _batch(self, sync_id: str) -> SummarizedBatch | None:
        try:
            return self._client.get(_path(sync_id), SummarizedBatch)
        except NotFound:
            return None

    def preflight(self, sync_id: str) -> Row:
        shapes: dict[int, type[_Plan | _Accepted]] = {200: _Plan, 202: _Accepted}
        plan = self._client.post(f"{_path(sync_id)}/preflight", shapes)
        if isinstance(plan, _Accepted):
            plan = self._result(plan.id, _Plan, "the pre-flight")
        counts = {forecast: plan.counts.get(forecast, 0) for forecast in FORECASTS}
        return {"sync_id": sync_id, **msgspec.to_builtins(plan), "ok": int(plan.ok), "counts": counts}

    def queue(self, sync_id: str, priority: int | None, force: bool, scope: Scope) -> Row:
        only = scope.value if scope in (Scope.FAILED, Scope.DEFERRED) else None
        body: Row = {"priority": priority, "force": force, "only": only, "reimport": scope is Scope.REIMPORT}
        path, shapes = f"{_path(sync_id)}/queue", {200: _Job, 201: _NewJob}
        made = self._patiently(lambda: self._client.post(path, shapes, body))
        return queued_row(made, is_new=isinstance(made, _NewJob))

    def oldest_first(self, sync_ids: Sequence[str]) -> list[int]:
        named = {sync_id for sync_id in sync_ids if NAME.fullmatch(sync_id)}
        found = [self._patiently(partial(self._batch, sync_id)) for sync_id in sorted(named)]
        known = {b.sync_id: (b.manifest_completed_at, b.prior_sync_id) for b in found if b and b.manifest_completed_at}
        return decide.places_by_version(decide.versions(known), sync_ids)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Asks a busy daemon again when it says, for a bounded time. Raises DaemonBusy after that."""
        began = time.monotonic()
        while True:
            try:
                return ask()
            except DaemonBusy as busy:
                if busy.retry_after is None:
                    raise
                pause = max(busy.retry_after, FIRST_PAUSE)
                left = min(began + BUSY_SECONDS - time.monotonic(), self._busy_seconds_left)
                if pause > left:
                    raise
            self._busy_seconds_left -= pause
            time.sleep(pause)

    def cancel(self, sync_id: str) -> Row:
        cancelled = self._client.post(f"{_path(sync_id)}/cancel", {200: _Job})
        return {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}

    def standing(self, sync_id: str) -> Standing:
        found = self._client.get(_path(sync_id), BatchDetail)
        batch = SummarizedBatch(**{part.name: getattr(found, part.name) for part in fields(SummarizedBatch)})
        return Standing(batch, found.decisions, found.containers, found.removals, found.jobs)

    def items(self, sync_id: str, page: int) -> Iterator[Item]:
        yield from self._pages(f"{_path(sync_id)}/items?limit={min(page, MAX_PAGE)}", _ItemPage, FORWARD)

    def events(self, sync_id: str | None, wanted: Filter, page: int) -> Iterator[Event]:
        since = None if wanted.since is None else f"{wanted.since.isoformat()}Z"
        given = {
            "sync_id": sync_id,
            "type": wanted.event_type,
            "by": wanted.actor,
            "since": since,
            "above": wanted.above,
        }
        query = urlencode(
            {"limit": min(page, MAX_PAGE)} | {key: value for key, value in given.items() if value is not None}
        )
        return self._pages(f"/events?{query}", _EventPage, BACKWARD)

    def _pages(self, address: str, shape: "type[_Page[T]]", step: int) -> Iterator[T]:
        """The records of a list, read in pages whose cursors go FORWARD or BACKWARD.

        Raises NoDaemon if they do not, or if there are more of them than a list of ingestd may have.
        """
        after: int | None = None
        for _ in range(MAX_PAGES):
            found = self._client.get(address + ("" if after is None else f"&after={after}"), shape)
            yield from found.items
            if found.next is None:
                return
            if after is not None and (found.next - after) * step <= 0:
                raise NoDaemon(f"{self._client.address} returns a list that does not go on: {found.next} after {after}")
            after = found.next
        raise NoDaemon(f"{self._client.address} returns a list that does not end: more than {MAX_PAGES} pages")

    def pause(self, reason: str | None) -> bool:
        return self._client.post("/pause", {200: _Changed}, {"reason": reason}).changed

    def resume(self) -> bool:
        return self._client.post("/resume", {200: _Changed}).changed

    def accept_mount(self) -> Row:
        accepted = self._client.post("/mount/accept", {200: _MountAccepted})
        return {"from": accepted.before, "to": accepted.to}

    def overview(self) -> Overview:
        return self._client.get("/status", Overview)

    def batches(self, status: str | None, limit: int) -> Iterator[ListedBatch]:
        return islice(self._batches("" if status is None else f"&status={status}", min(limit, MAX_PAGE)), limit)

    def jobs(self) -> list[Job]:
        return self._client.get("/jobs/recent", _JobList).items

    def beginning_with(self, prefix: str) -> list[str]:
        if not NAME.fullmatch(prefix):
            return []
        # The prefix of the interface also matches hosts.
        found = (batch.sync_id for batch in self._batches(f"&prefix={prefix}", MAX_PAGE))
        return list(islice((sync_id for sync_id in found if sync_id.startswith(prefix)), 2))

    def _batches(self, filters: str, page: int) -> Iterator[ListedBatch]:
        return self._pages(f"/batches?limit={page}{filters}", _BatchPage, BACKWARD)

    def _result(self, request_id: int, shape: type[T], what: str) -> T:
        """The result of a request, which is asked for until the request has ended."""
        request = self._ended(request_id, what)
        if request.state is RequestState.FAILED:
            raise NotEligible(request.error or f"{what} failed")
        try:
            return shaped(request.result, shape)
        except ValueError as error:
            raise NoDaemon(
                f"{self._client.address} answers, but {what} has no result that ingestd would give: {error}"
            ) from error

    def _ended(self, request_id: int, what: str) -> IngestRequest:
        """A request that has ended. Announces a long wait once. Raises DaemonUnavailable when the wait is too long."""
        began, pauses, is_announced = time.monotonic(), backoff(FIRST_PAUSE, MAX_PAUSE), False
        while (request := self._client.get(f"/requests/{request_id}", IngestRequest)).state in STANDING:
            waited = time.monotonic() - began
            standing = f"request {request_id} ({what}) at {self._client.address} is {STANDING[request.state]}"
            if waited > GIVE_UP_SECONDS:
                raise DaemonUnavailable(f"{standing}; it stays there and was not waited for any longer")
            if waited > ANNOUNCE_SECONDS and not is_announced:
                echo(f"{standing}; waiting for its result")
                is_announced = True
            time.sleep(next(pauses))
        return request


def _path(sync_id: str) -> str:
    """The path of a batch. Raises NotFound for a name that could change the path."""
    if not NAME.fullmatch(sync_id):
        raise no_batch(sync_id)
    return f"/batches/{sync_id}"

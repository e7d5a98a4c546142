"""The commands of operators, carried out by a daemon elsewhere. Needs no configuration, no database and no mount."""

import re
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click
import msgspec

from ingestd.cli.client import Client, shaped
from ingestd.cli.output import Row, echo
from ingestd.errors import DaemonUnavailable, NoDaemon, NotEligible, NotFound
from ingestd.model import Scope
from ingestd.pipeline.preflight import FORECASTS
from ingestd.pipeline.scanner import SYNC_IDS_KEPT

FIRST_PAUSE, MAX_PAUSE = 0.1, 2.0
SAY_SECONDS, GIVE_UP_SECONDS = 5.0, 3600.0
NAME = re.compile(r"[0-9A-Za-z-]{1,64}")
MAX_EVENTS = 500

T = TypeVar("T")


# what is answered; what else there is in an answer is left alone


class _Job(msgspec.Struct):
    id: int
    state: str
    priority: int


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


class _Accepted(msgspec.Struct):
    detail: str


class _Event(msgspec.Struct):
    id: int
    event_type: str
    payload: dict[str, Any]


class _Events(msgspec.Struct):
    items: list[_Event]


class _ScanAccepted(msgspec.Struct):
    id: int


class _Scan(msgspec.Struct):
    state: Literal["running", "done", "failed"]
    sync_ids: list[str]
    unrecorded: int | None
    error: str | None


class _Batch(msgspec.Struct):
    sync_id: str
    type: str | None
    action: str | None
    status: str
    source_host: str | None
    item_count: int
    total_bytes: int
    manifest_sha256: str | None
    plan_sha256: str | None
    manifest_summary: dict[str, Any] | None
    discovered_at: str
    started_at: str | None
    completed_at: str | None
    last_error: str | None


class _Planning(msgspec.Struct):
    pending: bool
    error: str | None


class _BatchPlanning(msgspec.Struct):
    preflight: _Planning


# the commands


class Remote:
    """Carries the commands out elsewhere; gives the same rows as they have here."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def scan(self) -> tuple[list[Row], int]:
        number = self._client.post("/scan", {202: _ScanAccepted}).id
        found = self._until(lambda: self._scanned(number), "the scan")
        if len(found.sync_ids) >= SYNC_IDS_KEPT:
            echo(f"only the first {SYNC_IDS_KEPT} batches are told; `ingestd batches` there has them all")
        rows = [self._batch(sync_id) for sync_id in found.sync_ids[:SYNC_IDS_KEPT]]
        return [row for row in rows if row], found.unrecorded or 0

    def _scanned(self, number: int) -> _Scan | None:
        """What a scan found; None while it runs."""
        try:
            found = self._client.get(f"/scans/{number}", _Scan)
        except NotFound as error:
            raise DaemonUnavailable(f"{error}: it was started anew, or another one answers here; scan again") from error
        if found.state == "failed":
            raise DaemonUnavailable(found.error or "the scan failed")
        return found if found.state == "done" else None

    def _batch(self, sync_id: str) -> Row | None:
        try:
            return msgspec.structs.asdict(self._client.get(_path(sync_id), _Batch))
        except NotFound:
            return None

    def preflight(self, sync_id: str) -> Row:
        path = _path(sync_id)
        newest = max((event.id for event in self._events(path, 1)), default=0)
        shapes: dict[int, type[_Plan | _Accepted]] = {200: _Plan, 202: _Accepted}
        plan = self._client.post(f"{path}/preflight", shapes)
        if isinstance(plan, _Accepted):
            self._until(lambda: self._is_planned(path), "the plan")
            plan = self._plan_after(path, newest)
        counts = {forecast: plan.counts.get(forecast, 0) for forecast in FORECASTS}
        return {"sync_id": sync_id, **msgspec.to_builtins(plan), "ok": int(plan.ok), "counts": counts}

    def _is_planned(self, path: str) -> bool | None:
        planning = self._client.get(path, _BatchPlanning).preflight
        if planning.error is not None:
            raise NotEligible(planning.error)
        return None if planning.pending else True

    def _plan_after(self, path: str, newest: int) -> _Plan:
        """The plan as the ledger tells it. One that is not there was given up when its process stopped."""
        try:
            for event in self._events(path, MAX_EVENTS):
                if event.event_type == "preflight_finished" and event.id > newest:
                    return shaped(event.payload, _Plan)
        except ValueError as error:
            raise NoDaemon(f"{self._client.address} tells of a plan, but not as ingestd does: {error}") from error
        raise DaemonUnavailable("the plan was not made: the daemon was started anew, or another one answers; ask again")

    def _events(self, path: str, limit: int) -> list[_Event]:
        return self._client.get(f"{path}/events?limit={limit}", _Events).items

    def queue(self, sync_id: str, priority: int | None, force: bool, scope: Scope) -> Row:
        if scope is Scope.REIMPORT:
            raise click.UsageError("--reimport has no place in the HTTP interface; run it on the host itself")
        only = None if scope is Scope.ALL else scope.value
        asked: Row = {"priority": priority, "force": force, "only": only}
        made = self._client.post(f"{_path(sync_id)}/queue", {200: _Job, 201: _NewJob}, asked)
        return {"job_id": made.id, "state": made.state, "priority": made.priority, "is_new": isinstance(made, _NewJob)}

    def cancel(self, sync_id: str) -> Row:
        cancelled = self._client.post(f"{_path(sync_id)}/cancel", {200: _Job})
        return {"sync_id": sync_id, "job_id": cancelled.id, "state": cancelled.state}

    def _until(self, look: Callable[[], T | None], what: str) -> T:
        """The first that `look` finds. Says so when it takes long, and does not wait for ever."""
        began, pause, told = time.monotonic(), FIRST_PAUSE, False
        while (found := look()) is None:
            waited = time.monotonic() - began
            if waited > GIVE_UP_SECONDS:
                raise DaemonUnavailable(f"{what} at {self._client.address} took too long to wait for; it goes on there")
            if waited > SAY_SECONDS and not told:
                echo(f"{what} at {self._client.address} goes on; waiting for its end")
                told = True
            time.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE)
        return found


def _path(sync_id: str) -> str:
    """The address of a batch; no batch has a name that could lead elsewhere."""
    if not NAME.fullmatch(sync_id):
        raise NotFound(f"there is no batch {sync_id}; `ingestd scan` records what is on the mount")
    return f"/batches/{sync_id}"

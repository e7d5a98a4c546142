"""ingest_request rows: scans and pre-flights that were accepted. Claims, ends and resets are guarded updates."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from ingestd.model import Patience, RequestKind, RequestState
from ingestd.records import IngestRequest
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Json

_sql = Queries("request")


@dataclass(frozen=True, slots=True)
class Claim:
    """A running request and the token under which it was claimed. `sync_id` is None for a scan."""

    request_id: int
    token: int
    sync_id: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A running request that may have lost its process, by the patience of that process, as for jobs."""

    claim: Claim
    instance: str
    heartbeat_at: datetime
    heartbeat_interval: float | None
    is_stale: bool
    is_silent: bool


@dataclass(frozen=True, slots=True)
class PreflightState:
    """The newest pre-flight request of a batch: whether it is open, or why it failed."""

    pending: bool = False
    error: str | None = None


_request = RowReader(IngestRequest)


def insert(tx: Tx, kind: RequestKind, requested_by: str, sync_id: str | None = None) -> int:
    """A new request, or the open one that this shares; returns its id.

    All scan requests made before a scan begins are one row, and so are all open pre-flight requests of a batch.
    """
    request_id = int(_sql.insert(tx.connection, kind=kind.value, sync_id=sync_id, requested_by=requested_by))
    tx.receipt = partial(exists, request_id=request_id)
    return request_id


def exists(tx: Tx, request_id: int) -> bool:
    """Waits for the transaction that inserts it if that is still running."""
    return _sql.exists(tx.connection, request_id=request_id) is not None


def find(tx: Tx, request_id: int) -> IngestRequest | None:
    return _request.maybe(_sql.find(tx.connection, request_id=request_id))


def newest_scan(tx: Tx, within_seconds: float) -> IngestRequest | None:
    """The newest scan request of the last `within_seconds`."""
    return _request.maybe(_sql.newest_scan(tx.connection, within_us=int(within_seconds * 1e6)))


def preflight_state(tx: Tx, sync_id: str) -> PreflightState:
    row = _sql.newest_preflight(tx.connection, sync_id=sync_id)
    if row is None:
        return PreflightState()
    state, error = row
    return PreflightState(state in (RequestState.QUEUED, RequestState.RUNNING), error)


def claim_next(tx: Tx, kind: RequestKind, worker_id: str, instance: str, patience: Patience) -> Claim | None:
    """Takes the request of a kind that was claimed least often, then the oldest, if no other process takes it."""
    row = _sql.next_queued(tx.connection, kind=kind.value)
    if row is None:
        return None
    request_id, sync_id, token = row
    values = {"request_id": request_id, "token": token, "worker_id": worker_id, "instance": instance}
    if _sql.claim(tx.connection, **values, **patience.microseconds()) != 1:
        return None
    claim = Claim(request_id, token + 1, sync_id)
    tx.receipt = partial(is_in_state, claim=claim, state=RequestState.RUNNING)
    return claim


def is_in_state(tx: Tx, claim: Claim, state: RequestState) -> bool:
    """Whether the request is in a state under this claim. Waits for a transaction that is changing it."""
    values = {"request_id": claim.request_id, "token": claim.token, "state": state.value}
    return _sql.in_state(tx.connection, **values) is not None


def beat(tx: Tx, claim: Claim) -> bool:
    """False when the claim was lost."""
    return bool(_sql.beat(tx.connection, request_id=claim.request_id, token=claim.token))


def finish(tx: Tx, claim: Claim, result: dict[str, Any] | None, error: str | None) -> bool:
    """Ends a request: failed if there is an error, done otherwise. False when the claim was lost."""
    state = RequestState.DONE if error is None else RequestState.FAILED
    text = None if result is None else Json(orjson.dumps(result))
    values = {"state": state.value, "result": text, "error": error}
    tx.receipt = partial(is_in_state, claim=claim, state=state)
    return bool(_sql.finish(tx.connection, request_id=claim.request_id, token=claim.token, **values))


def release(tx: Tx, claim: Claim) -> bool:
    """Puts a running request back into the queue. False when the claim was lost."""
    tx.receipt = partial(is_in_state, claim=claim, state=RequestState.QUEUED)
    return bool(_sql.release(tx.connection, request_id=claim.request_id, token=claim.token))


def running(tx: Tx, beats: int, default: Patience) -> list[Running]:
    """All running requests; silent are those without a heartbeat for `beats` intervals, by the database's clock."""
    rows = _sql.running(tx.connection, beats=beats, **default.microseconds())
    return [
        Running(Claim(id_, token), instance, at, interval, bool(is_stale), bool(is_silent))
        for id_, token, instance, at, interval, is_stale, is_silent in rows
    ]


def reset(tx: Tx, found: Running, max_resets: int, error: str) -> bool:
    """Puts a lost request back into the queue, or ends it with `error` at the last reset.

    False when its process gave a sign of life since, or another host was first.
    """
    claim, values = found.claim, {"max_resets": max_resets, "error": error, "heartbeat_at": found.heartbeat_at}
    return bool(_sql.reset(tx.connection, request_id=claim.request_id, token=claim.token, **values))


def delete_finished(tx: Tx, keep_seconds: float, limit: int) -> int:
    """Deletes the oldest requests that ended more than `keep_seconds` ago, `limit` at most; returns how many."""
    return int(_sql.delete_finished(tx.connection, keep_us=int(keep_seconds * 1e6), limit=limit))

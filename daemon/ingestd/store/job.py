"""import_job rows: the queue. Claims, fences and resets are guarded updates whose row count decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from ingestd.errors import LeaseLost
from ingestd.model import JobState, Lease, Patience, Scope, Version
from ingestd.records import Job
from ingestd.store import versions
from ingestd.store.db import Tx
from ingestd.store.sql import Queries, RowReader
from ingestd.store.values import Json, rows_json

_sql = Queries("job")
_job = RowReader(Job)


@dataclass(frozen=True, slots=True)
class Running:
    """A running job that may have lost its worker. `stuck`: no item was done since the claim.

    `heartbeat_interval` and `stale_after` are the settings of its worker, in seconds, if they are known.
    """

    id: int
    batch_id: int
    claim_token: int
    claimed_by: str | None
    heartbeat_at: datetime | None
    current_item_id: int | None
    stuck: bool
    instance: str | None
    crash_count: int
    heartbeat_interval: float | None
    stale_after: float | None

    @property
    def isolate_items(self) -> bool:
        """Whether the next run should take items one by one, to find the one that crashes it."""
        return self.stuck or self.current_item_id is not None

    @property
    def crashes(self) -> int:
        """How many workers in a row crashed before they named an item, if this one crashed."""
        return self.crash_count + 1 if self.stuck and self.current_item_id is None else 0

    @property
    def unblamed(self) -> "Running":
        """As if this crash did not count: its worker had other jobs, too, and any of them may have been the reason."""
        return replace(self, crash_count=self.crash_count - 1)


_running = RowReader(Running)


@dataclass(frozen=True, slots=True)
class Claimable:
    """What a claim must know of a queued job: among others the token before it, and its seconds in the queue.

    `has_active_prior`: the batch that its own follows has an active job. `is_planned`: there is a plan of its batch.
    """

    id: int
    batch_id: int
    sync_id: str
    manifest_sha256: str | None
    token: int
    priority: int
    scope: Scope
    isolate_items: bool
    items_done: int
    items_total: int
    waited: float
    has_active_prior: bool
    is_planned: bool


_claimable = RowReader(Claimable)


def find(tx: Tx, job_id: int) -> Job | None:
    return _job.maybe(_sql.find(tx.connection, job_id=job_id))


def active(tx: Tx, batch_id: int) -> Job | None:
    """The waiting, queued or running job of a batch."""
    return _job.maybe(_sql.active(tx.connection, batch_id=batch_id))


def newest(tx: Tx, batch_id: int) -> Job | None:
    """The job of a batch that was queued last, in any state."""
    return _job.maybe(_sql.newest(tx.connection, batch_id=batch_id))


def is_imported(tx: Tx, batch_id: int, sha256: str) -> bool:
    """Whether a job imported this manifest of a batch."""
    return bool(_sql.is_imported(tx.connection, batch_id=batch_id, sha256=sha256))


def insert(
    tx: Tx,
    batch_id: int,
    *,
    state: JobState,
    priority: int,
    scope: Scope,
    manifest_sha256: str | None,
    requested_by: str | None,
    items_total: int,
) -> int:
    """Inserts a job; returns its id. The database refuses a second active job of one batch."""
    return int(
        _sql.insert(
            tx.connection,
            batch_id=batch_id,
            state=state.value,
            priority=priority,
            scope=scope.value,
            manifest_sha256=manifest_sha256,
            requested_by=requested_by,
            items_total=items_total,
        )
    )


def insert_all(
    tx: Tx, batches: Sequence[tuple[int, JobState, str | None, int]], *, priority: int, requested_by: str
) -> dict[int, int]:
    """Jobs of all items for some batches, at most 1000: (batch id, state, digest, items). Their ids by batch."""
    (rows,) = rows_json(batches)
    return dict(_sql.insert_all(tx.connection, rows=rows, priority=priority, requested_by=requested_by))


def lock_active(tx: Tx, batch_id: int) -> Job | None:
    """As `active`; its row stays locked until the transaction ends, so that no worker claims it meanwhile."""
    return _job.maybe(_sql.lock_active(tx.connection, batch_id=batch_id))


def active_prior(tx: Tx, batch_id: int) -> tuple[Version, Version] | None:
    """The versions of a batch and of its prior, if the prior has an active job."""
    row = _sql.active_prior(tx.connection, batch_id=batch_id)
    if row is None:
        return None
    at, sync_id, prior_at, prior = row
    following = versions.generations(tx, [sync_id, prior]) if at == prior_at else {}
    return Version(at, sync_id, following.get(sync_id, 0)), Version(prior_at, prior, following.get(prior, 0))


def queued_successors(tx: Tx, sync_id: str) -> list[int]:
    """Batches with a queued job that name this batch as their prior."""
    return [row[0] for row in _sql.queued_successors(tx.connection, sync_id=sync_id)]


def hold_back(tx: Tx, job_id: int) -> bool:
    """Makes a queued job wait. False if it was not queued any more."""
    return bool(_sql.hold_back(tx.connection, job_id=job_id))


def rescope(tx: Tx, job_id: int, scope: Scope, manifest_sha256: str | None) -> None:
    """Changes which items a job that is not running takes up."""
    _sql.rescope(tx.connection, job_id=job_id, scope=scope.value, manifest_sha256=manifest_sha256)


def reprioritise(tx: Tx, job_id: int, priority: int) -> bool:
    return bool(_sql.reprioritise(tx.connection, job_id=job_id, priority=priority))


def take_over(tx: Tx, job_id: int, requested_by: str) -> None:
    """Changes who requested a job."""
    _sql.take_over(tx.connection, job_id=job_id, requested_by=requested_by)


def cancel(tx: Tx, job_id: int) -> bool:
    """False when the job was no longer waiting or queued."""
    return bool(_sql.cancel(tx.connection, job_id=job_id))


def promote(tx: Tx, job_id: int) -> bool:
    return bool(_sql.promote(tx.connection, job_id=job_id))


def is_queued(tx: Tx, job_id: int) -> bool:
    """Whether a job waits to be claimed."""
    return bool(_sql.is_queued(tx.connection, job_id=job_id))


def claim_next(
    tx: Tx, worker_id: str, instance: str, patience: Patience, without: Sequence[int] = ()
) -> Claimable | None:
    """Claims the first queued job that no other worker is claiming; none of those in `without`."""
    left_out = tuple(without)
    row = _sql.next_queued_without(tx.connection, job_ids=left_out) if left_out else _sql.next_queued(tx.connection)
    if row is None:
        return None
    found = _claimable(row)
    values = {"job_id": found.id, "token": found.token, "worker_id": worker_id, "instance": instance}
    is_claimed = _sql.claim(tx.connection, **values, **patience.microseconds()) == 1
    return found if is_claimed else None


def unclaim(tx: Tx, job_id: int) -> None:
    """Queues a job again that was claimed in this transaction."""
    _sql.unclaim(tx.connection, job_id=job_id)


def explain_claim(tx: Tx) -> list[tuple[Any, ...]]:
    """The server's plan for the query that finds the job to claim."""
    return _sql.explain(tx.connection, "claim_plan")


def fence(tx: Tx, lease: Lease, items_done: int, items_total: int, current_item_id: int | None = None) -> None:
    """Ends every transaction that writes for a job. Raises LeaseLost when the job is no longer this worker's."""
    values = {"items_done": items_done, "items_total": items_total, "current_item_id": current_item_id}
    if _sql.fence(tx.connection, job_id=lease.job_id, token=lease.token, **values) != 1:
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")
    if tx.receipt is None:
        tx.receipt = partial(was_committed, lease=lease)


def was_committed(tx: Tx, lease: Lease) -> bool:
    """Whether more than the `lease.writes` known fenced transactions of a lease were committed."""
    writes = _sql.writes(tx.connection, job_id=lease.job_id, token=lease.token)
    return writes is not None and writes > lease.writes


def consume(tx: Tx, job_id: int, manifest_sha256: str) -> None:
    """Records the digest of the manifest that the job read."""
    _sql.consume(tx.connection, job_id=job_id, manifest_sha256=manifest_sha256)


def begin_reimport(tx: Tx, job_id: int) -> bool:
    """Whether the decisions of the batch must be reset now: at the first run of a re-import."""
    return bool(_sql.begin_reimport(tx.connection, job_id=job_id))


def beat(tx: Tx, lease: Lease) -> bool:
    return bool(_sql.beat(tx.connection, job_id=lease.job_id, token=lease.token))


def finish(
    tx: Tx, lease: Lease, state: JobState, error: str | None, result: Mapping[str, int], sha256: str | None = None
) -> None:
    """Ends the job; `sha256`: of the manifest, as `consume`. Raises LeaseLost when it is no longer this worker's."""
    claim: dict[str, Any] = {"job_id": lease.job_id, "token": lease.token}
    done = {"items_done": lease.items_done, "items_total": lease.items_total, "manifest_sha256": sha256}
    ended = {"state": state.value, "error": error, "result": Json(orjson.dumps(result))}
    if _sql.finish(tx.connection, **claim, **done, **ended) != 1:
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")


def release(tx: Tx, lease: Lease) -> None:
    """Puts the job back into the queue. Raises LeaseLost when it is no longer this worker's."""
    if _sql.release(tx.connection, job_id=lease.job_id, token=lease.token) != 1:
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")


def stale(tx: Tx, default: Patience) -> list[Running]:
    """Running jobs whose heartbeat is too old, by the patience of their own workers, and by the database's clock."""
    return _running.all(_sql.stale(tx.connection, **default.microseconds()))


def silent(tx: Tx, beats: int, default: Patience) -> list[Running]:
    """Running jobs without a heartbeat for so many intervals of their own workers."""
    return _running.all(_sql.silent(tx.connection, beats=beats, **default.microseconds()))


def running_on(tx: Tx, machine_id: str) -> list[Running]:
    """Running jobs claimed by processes of one machine."""
    rows = _sql.running_on(tx.connection, instances=machine_id + "/%")
    return _running.all(rows)


def workers_of_machine(tx: Tx, machine_id: str, fresh_seconds: float) -> list[tuple[str, str]]:
    """Name and fingerprint of the workers under a machine-id, of jobs and requests, that sent a heartbeat lately."""
    values = {"instances": machine_id + "/%", "fresh_us": int(fresh_seconds * 1e6)}
    return list(_sql.workers_of_machine(tx.connection, **values))


def reset_stale(tx: Tx, job: Running, default: Patience) -> bool:
    """False when its worker sent a heartbeat meanwhile, or another process was first."""
    values = {"job_id": job.id, "token": job.claim_token, "isolate_items": job.isolate_items}
    return bool(_sql.reset_stale(tx.connection, **values, **default.microseconds()))


def reset_silent(tx: Tx, job: Running, beats: int, default: Patience) -> bool:
    """As `reset_stale`, for a job found by `silent`."""
    values = {"job_id": job.id, "token": job.claim_token, "isolate_items": job.isolate_items, "beats": beats}
    return bool(_sql.reset_silent(tx.connection, **values, **default.microseconds()))


def reset_dead(tx: Tx, job: Running) -> bool:
    values = {"job_id": job.id, "token": job.claim_token, "isolate_items": job.isolate_items, "instance": job.instance}
    return bool(_sql.reset_dead(tx.connection, crash_count=job.crashes, **values))

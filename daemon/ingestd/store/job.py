"""import_job rows: the queue. Claims, fences and resets are guarded updates whose row count decides."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ingestd.errors import LeaseLost
from ingestd.model import Job, JobState, Lease, Scope
from ingestd.store.db import Tx, load_queries

_sql = load_queries("job")


@dataclass(frozen=True, slots=True)
class Running:
    """A running job that may have lost its worker. `stuck`: it got nothing done since it was claimed."""

    id: int
    batch_id: int
    claim_token: int
    claimed_by: str | None
    heartbeat_at: datetime | None
    current_item_id: int | None
    stuck: bool
    instance: str | None = None

    @property
    def isolate_items(self) -> bool:
        """Whether the next run should take items one by one, to find the one that kills."""
        return self.stuck or self.current_item_id is not None


@dataclass(frozen=True, slots=True)
class Control:
    paused: bool
    by: str | None
    reason: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Queued:
    """Whether work of each kind is queued."""

    jobs: bool
    scans: bool
    preflights: bool


def find(tx: Tx, job_id: int) -> Job | None:
    return _job(_sql.find(tx.connection, job_id=job_id))


def active(tx: Tx, batch_id: int) -> Job | None:
    """The waiting, queued or running job of a batch."""
    return _job(_sql.active(tx.connection, batch_id=batch_id))


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
    """A new job; returns its id. The database refuses a second active job of one batch."""
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


def prior_is_active(tx: Tx, batch_id: int) -> bool:
    return bool(_sql.prior_is_active(tx.connection, batch_id=batch_id))


def reprioritise(tx: Tx, job_id: int, priority: int) -> bool:
    return bool(_sql.reprioritise(tx.connection, job_id=job_id, priority=priority))


def cancel(tx: Tx, job_id: int) -> bool:
    """False when the job was not waiting or queued any more."""
    return bool(_sql.cancel(tx.connection, job_id=job_id))


def promotable(tx: Tx, limit: int) -> list[int]:
    return [row[0] for row in _sql.promotable(tx.connection, limit=limit)]


def promote(tx: Tx, job_id: int) -> bool:
    return bool(_sql.promote(tx.connection, job_id=job_id))


def paused(tx: Tx) -> bool:
    return bool(_sql.paused(tx.connection))


def control(tx: Tx) -> Control:
    is_paused, by, reason, at = _sql.control(tx.connection)
    return Control(bool(is_paused), by, reason, at)


def pause(tx: Tx, requested_by: str, reason: str | None) -> bool:
    """False when the queue was paused already."""
    return bool(_sql.pause(tx.connection, requested_by=requested_by, reason=reason))


def resume(tx: Tx) -> bool:
    """False when the queue was not paused."""
    return bool(_sql.resume(tx.connection))


def queued(tx: Tx) -> Queued:
    """Which kinds of work are queued, on any host."""
    return Queued(*map(bool, _sql.queued(tx.connection)))


def claim_next(tx: Tx, worker_id: str, instance: str) -> tuple[int, int, float] | None:
    """Takes the first queued job nobody else is taking: its id, the new claim token, and the seconds it was queued."""
    row = _sql.next_queued(tx.connection)
    if row is None:
        return None
    job_id, token, waited = row
    values = {"job_id": job_id, "token": token, "worker_id": worker_id, "instance": instance}
    return (job_id, token + 1, waited) if _sql.claim(tx.connection, **values) == 1 else None


def fence(tx: Tx, lease: Lease, items_done: int, items_total: int, current_item_id: int | None = None) -> None:
    """Ends every transaction that writes for a job. Raises LeaseLost when the job is no longer this worker's."""
    values = {"items_done": items_done, "items_total": items_total, "current_item_id": current_item_id}
    if _sql.fence(tx.connection, job_id=lease.job_id, token=lease.token, **values) != 1:
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")


def was_committed(tx: Tx, lease: Lease) -> bool:
    """Whether the fenced transaction after `lease.writes` of them was committed."""
    writes = _sql.writes(tx.connection, job_id=lease.job_id, token=lease.token)
    return writes is not None and writes > lease.writes


def is_claimed_by(tx: Tx, job_id: int, token: int, worker_id: str, instance: str) -> bool:
    values = {"job_id": job_id, "token": token, "worker_id": worker_id, "instance": instance}
    return _sql.claimed_by_us(tx.connection, **values) is not None


def consume(tx: Tx, job_id: int, manifest_sha256: str) -> None:
    """Notes which digest the job really read."""
    _sql.consume(tx.connection, job_id=job_id, manifest_sha256=manifest_sha256)


def beat(tx: Tx, lease: Lease) -> bool:
    return bool(_sql.beat(tx.connection, job_id=lease.job_id, token=lease.token))


def finish(tx: Tx, lease: Lease, state: JobState, error: str | None, items_done: int, items_total: int) -> None:
    """Ends the job. Raises LeaseLost when it is no longer this worker's."""
    values: dict[str, Any] = {"items_done": items_done, "items_total": items_total}
    if (
        _sql.finish(tx.connection, job_id=lease.job_id, token=lease.token, state=state.value, error=error, **values)
        != 1
    ):
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")


def release(tx: Tx, lease: Lease) -> None:
    """Puts the job back into the queue. Raises LeaseLost when it is no longer this worker's."""
    if _sql.release(tx.connection, job_id=lease.job_id, token=lease.token) != 1:
        raise LeaseLost(f"job {lease.job_id} was taken from {lease.worker_id}")


def stale(tx: Tx, stale_after: float) -> list[Running]:
    """Running jobs whose heartbeat is older than `stale_after` seconds, by the database's clock."""
    rows = _sql.stale(tx.connection, stale_us=int(stale_after * 1e6))
    return [_running(row) for row in rows]


def running_on(tx: Tx, machine_id: str) -> list[Running]:
    """Running jobs claimed by processes of one machine."""
    rows = _sql.running_on(tx.connection, instances=machine_id + "/%")
    return [_running(row) for row in rows]


def reset_stale(tx: Tx, job: Running, stale_after: float) -> bool:
    """False when its worker gave a sign of life, or somebody else was first."""
    values = {
        "job_id": job.id,
        "token": job.claim_token,
        "isolate_items": job.isolate_items,
        "stale_us": int(stale_after * 1e6),
    }
    return bool(_sql.reset_stale(tx.connection, **values))


def reset_dead(tx: Tx, job: Running) -> bool:
    values = {"job_id": job.id, "token": job.claim_token, "isolate_items": job.isolate_items, "instance": job.instance}
    return bool(_sql.reset_dead(tx.connection, **values))


def _running(row: tuple[Any, ...]) -> Running:
    id_, batch_id, token, claimed_by, heartbeat_at, current_item_id, stuck, *instance = row
    found = Running(id_, batch_id, token, claimed_by, heartbeat_at, current_item_id, bool(stuck))
    return replace(found, instance=instance[0]) if instance else found


def _job(row: tuple[Any, ...] | None) -> Job | None:
    if row is None:
        return None
    id_, batch_id, state, priority, scope, requested_by, token, done, total, error, isolate_items, current = row
    return Job(
        id_, batch_id, JobState(state), priority, Scope(scope), requested_by, token, done, total, error,
        bool(isolate_items), current,
    )  # fmt: skip

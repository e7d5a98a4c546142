"""The present state for a scrape of the metrics: live states only, read by index."""

from dataclasses import dataclass

from ingestd.model import BatchStatus, JobState
from ingestd.store import control
from ingestd.store.db import Tx
from ingestd.store.queries import batches, jobs
from ingestd.store.sql import Queries

_sql = Queries("queries/live")

MAX_RUNNING = 200
BATCH_STATUSES = tuple(status for status in BatchStatus if status is not BatchStatus.IMPORTED)
JOB_STATES = (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class RunningJob:
    """`heartbeat_age` in seconds; `progress` from 0 to 1."""

    sync_id: str
    worker: str
    heartbeat_age: float
    progress: float


@dataclass(frozen=True, slots=True)
class Live:
    """Counts by state, 0 for a state without jobs or batches; ages in seconds, 0 when there is nothing to count."""

    jobs: dict[str, int]
    oldest_job_age: float
    running: list[RunningJob]
    batches: dict[str, int]
    items_waiting: int
    items_waiting_oldest_age: float
    paused: bool
    batches_given_up: int = 0


def live(tx: Tx) -> Live:
    """Reads everything with a few short statements; `batches_given_up` is for the caller, who knows the limit."""
    connection = tx.connection
    return Live(
        jobs={**dict.fromkeys((state.value for state in JOB_STATES), 0), **jobs.counts(tx)},
        oldest_job_age=max(0.0, _sql.oldest_job_age(connection) or 0.0),
        running=[_running(*row) for row in _sql.running(connection, limit=MAX_RUNNING)],
        batches={**dict.fromkeys((status.value for status in BATCH_STATUSES), 0), **batches.counts(tx)},
        items_waiting=_sql.items_waiting(connection),
        items_waiting_oldest_age=max(0.0, _sql.items_waiting_oldest_age(connection) or 0.0),
        paused=control.find(tx).paused,
    )


def batches_given_up(tx: Tx, max_retries: int) -> int:
    """Failed batches that failed as a whole more than `max_retries` times in a row."""
    return int(_sql.batches_given_up(tx.connection, max_retries=max_retries))


def _running(sync_id: str, worker: str | None, age: float | None, done: int, total: int) -> RunningJob:
    return RunningJob(sync_id, worker or "", max(0.0, age or 0.0), done / total if total else 0.0)

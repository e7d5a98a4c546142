"""Rows as records: one frozen record for each table that lists, pages, the HTTP interface and commands show.

The fields stand in the order of the columns in sql/columns.sql. The HTTP interface answers with these records, and the
remote command line decodes them. Times are naive UTC.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from ingestd.model import (
    ACTIVE_STATES,
    Action,
    BatchStatus,
    Decision,
    InvalidBasis,
    JobState,
    Reason,
    RequestKind,
    RequestState,
    Scope,
)
from ingestd.removal_counts import StoredRemovals


@dataclass(frozen=True, slots=True)
class Batch:
    """One ingest_batch row."""

    id: int
    sync_id: str
    type: str | None
    action: Action | None
    status: BatchStatus
    invalid_basis: InvalidBasis | None = field(metadata={"description": "What the status `invalid` rests on."})
    source_host: str | None
    item_count: int
    total_bytes: int
    manifest_sha256: str | None
    plan_sha256: str | None = field(metadata={"description": "The manifest that the present plan was made for."})
    force_sha256: str | None = field(metadata={"description": "The manifest allowed to exceed queue.removal_limit."})
    force_limit: int | None = field(metadata={"description": "How many rows that allows to remove; null: any number."})
    manifest_completed_at: datetime | None
    prior_sync_id: str | None
    discovered_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    last_error: str | None
    failure_count: int = field(metadata={"description": "Runs in a row that failed as a whole."})
    retry_at: datetime | None = field(metadata={"description": "When it is queued again after such a run."})

    @property
    def is_invalid(self) -> bool:
        """Whether its bundle cannot be consumed, also while the status is that of its job."""
        return self.status is BatchStatus.INVALID or self.invalid_basis is not None


@dataclass(frozen=True, slots=True)
class ListedBatch(Batch):
    """A batch in a list, with the progress of its active job; None if it has no active job."""

    items_done: int | None
    items_total: int | None
    job_state: JobState | None


@dataclass(frozen=True, slots=True)
class SummarizedBatch(Batch):
    """A batch with the summary of its manifest; None if no manifest could be read."""

    manifest_summary: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Job:
    """One import_job row, and the sync_id of its batch."""

    id: int
    batch_id: int
    sync_id: str
    state: JobState
    priority: int
    scope: Scope
    requested_by: str | None
    queued_at: datetime
    claimed_at: datetime | None
    claimed_by: str | None
    claim_token: int
    heartbeat_at: datetime | None
    items_done: int
    items_total: int
    items_at_claim: int
    isolate_items: bool
    current_item_id: int | None
    finished_at: datetime | None
    result: dict[str, int] | None = field(
        metadata={
            "description": "Items of its batch by decision when it ended, and `containers_failed` and"
            " `containers_deferred`; counts of zero are left out. Null: it has not ended, or was cancelled."
        }
    )
    last_error: str | None
    reset_count: int = field(metadata={"description": "How often its worker died or fell silent."})
    release_count: int = field(metadata={"description": "How often its worker gave it back, as in an outage."})

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE_STATES


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the manifest, an item or a container, and what was decided about it."""

    ordinal: int
    type: str
    hash: str
    decision: Decision
    reason: Reason | None
    target_ids: dict[str, int | str] | None
    last_error: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Container(Entry):
    """One ingest_batch_container row; `missing` are the hashes of members that are not in the library."""

    missing: list[str] | None


@dataclass(frozen=True, slots=True)
class Item(Entry):
    """One ingest_batch_item row."""

    cover_hash: str | None
    """the cover that the entry of an asset names"""
    parent_hash: str | None
    """the asset that the entry of a cover names"""
    waiting_for: str | None
    """the hash that a deferred item needs in the library"""


@dataclass(frozen=True, slots=True)
class Event:
    """One ingest_event row, and the sync_id of its batch; None if it concerns no single batch."""

    id: int
    sync_id: str | None
    event_type: str
    payload: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Control:
    """The ingest_control row: whether the queue is paused, on every host."""

    paused: bool
    paused_by: str | None
    paused_reason: str | None
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class StuckBundle:
    """A bundle that cannot be read or recorded: why, and since when. `reported_by` is the host that found it first."""

    sync_id: str
    reason: str
    reported_by: str
    since: datetime


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """One ingest_request row: a scan or a pre-flight that was accepted. It is deleted some days after its end."""

    id: int
    kind: RequestKind
    sync_id: str | None = field(metadata={"description": "The batch of a pre-flight; null for a scan."})
    state: RequestState
    result: dict[str, Any] | None = field(
        metadata={"description": "Of a request that is done: what the scan found, or the plan."}
    )
    error: str | None = field(metadata={"description": "Why it failed."})
    requested_by: str | None = field(
        metadata={"description": "Who made the first of the requests that share this one."}
    )
    requested_at: datetime
    claimed_at: datetime | None
    claimed_by: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch with the counts of its decisions and removals, and its newest jobs, newest first."""

    batch: SummarizedBatch
    decisions: dict[str, int]
    containers: dict[str, int]
    removals: StoredRemovals
    jobs: list[Job]


def as_dict(record: Any) -> dict[str, Any]:
    """The fields of a record by name; values stay as they are."""
    return {part.name: getattr(record, part.name) for part in fields(record)}

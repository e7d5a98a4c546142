"""What is asked and answered, as /openapi.json describes it. Requests are checked by these; answers by the tests."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from ingestd import records
from ingestd.model import Action, BatchStatus, Decision, JobState, RequestKind, RequestState
from ingestd.store.queries.paging import NEWEST

MAX_PAGE = 500
INT = 2**31

Priority = Annotated[int, Field(ge=-INT, lt=INT, description="Lower numbers are taken first.")]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class RequestModel(BaseModel):
    """Part of a request: what it does not name is an error."""

    model_config = ConfigDict(extra="forbid")


class Body(RequestModel):
    """Values of JSON as they are: "5" is no number."""

    model_config = ConfigDict(strict=True)


class ResponseModel(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid")


@cache
def response_of(record: type) -> type[BaseModel]:
    """The schema of an answer that is one record."""
    hints = get_type_hints(record)
    shape: dict[str, Any] = {part.name: (hints[part.name], Field(**part.metadata)) for part in fields(record)}
    return create_model(record.__name__, __base__=ResponseModel, __doc__=record.__doc__, **shape)


# requests


class BatchPath(RequestModel):
    sync_id: str


class JobPath(RequestModel):
    job_id: int


class RequestPath(RequestModel):
    request_id: int


class NoBody(Body):
    """Nothing is asked beside the address; an empty object will do."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]


class QueueBody(Body):
    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    priority: Priority | None = None
    force: bool = Field(False, description="Allow removals beyond queue.removal_limit, for the manifest as it is now.")
    only: Literal["failed", "deferred"] | None = Field(None, description="Take up only such items.")


class QueueManyBody(Body):
    sync_ids: list[Name] = Field(min_length=1, max_length=MAX_PAGE)
    priority: Priority | None = None


class PauseBody(Body):
    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    reason: str | None = Field(None, max_length=1000, description="Why; shown to everybody who looks.")


class PageQuery(RequestModel):
    limit: int = Field(100, ge=1, le=MAX_PAGE)
    after: int | None = Field(None, ge=0, le=NEWEST, description="`next` of the page before.")


class BatchesQuery(PageQuery):
    status: BatchStatus | None = None
    action: Action | None = None
    prefix: str | None = Field(
        None, min_length=1, max_length=255, description="How the sync_id, or the source host, begins."
    )


class ItemsQuery(PageQuery):
    decision: Decision | None = None


class JobsQuery(PageQuery):
    state: JobState | None = None


# answers


class Wrong(ResponseModel):
    place: str
    problem: str


class Problem(ResponseModel):
    """What went wrong (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str = Field(description="A sentence for a person.")
    errors: list[Wrong] = Field([], description="Of a request that is wrong: where, and how.")
    reasons: list[str] = Field([], description="Why this daemon is not well.")


class Health(ResponseModel):
    status: Literal["ok"]


class QueueResult(ResponseModel):
    """What became of one batch."""

    sync_id: str
    status: int = Field(description="As if it had been queued alone: 201, 200, 404 or 409.")
    job: records.Job | None
    error: str | None


class QueueResults(ResponseModel):
    results: list[QueueResult]


class FailureSample(ResponseModel):
    type: str
    hash: str
    error: str | None


class Plan(ResponseModel):
    sync_id: str
    ok: bool = Field(description="Whether no item is expected to fail.")
    counts: dict[str, int] = Field(description="Items by forecast.")
    item_count: int
    item_type_counts: dict[str, int]
    failure_samples: list[FailureSample]


class Accepted(ResponseModel):
    id: int = Field(description="Of the request.")
    detail: str


class ScanResult(ResponseModel):
    sync_ids: list[str] = Field(description="Batches that the scan recorded or found changed; the first 10,000.")
    unrecorded: int = Field(description="Bundles whose manifest could not be read yet.")


class Request(ResponseModel):
    """A scan or a pre-flight that was accepted. It is deleted some days after its end."""

    id: int
    kind: RequestKind
    sync_id: str | None = Field(description="The batch of a pre-flight; null for a scan.")
    state: RequestState
    result: ScanResult | Plan | None = Field(description="Of a request that is done: what the scan found, or the plan.")
    error: str | None = Field(description="Why it failed.")
    requested_by: str | None = Field(description="Who made the first of the requests that share this one.")
    requested_at: datetime
    claimed_at: datetime | None
    claimed_by: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ControlAnswer(records.Control):
    """Whether the queue is paused, on every host."""

    changed: bool = field(metadata={"description": "Whether this request changed it."})


class Page(ResponseModel):
    next: int | None = Field(description="`after` of the next page; null at the end. A short page may have a next.")


class BatchPage(Page):
    items: list[records.ListedBatch]


class ItemPage(Page):
    items: list[records.Item]


class EventPage(Page):
    items: list[records.Event]


class JobPage(Page):
    items: list[records.Job]

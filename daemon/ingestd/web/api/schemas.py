"""Schemas of requests and responses. Requests are validated with them, and the tests compare responses with them."""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from ingestd import records
from ingestd.model import Action, BatchStatus, Decision, JobState, Scope, as_recorded
from ingestd.removal_counts import Removals
from ingestd.store.queries.paging import NEWEST

MAX_PAGE = 500
INT, BIGINT = 2**31, 2**63

Priority = Annotated[int, Field(ge=-INT, lt=INT, description="Lower numbers first.")]
Count = Annotated[int, Field(ge=0, lt=BIGINT)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SyncId = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(as_recorded)]


class Model(BaseModel):
    """Its JSON schema is made once. Each route asks for those of its request and of all its responses."""

    @classmethod
    @cache
    def model_json_schema(cls, *options: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        return super().model_json_schema(*options, **named)


class RequestModel(Model):
    """Part of a request. Unknown names are an error."""

    model_config = ConfigDict(extra="forbid")


class Body(RequestModel):
    """A JSON body. Types are strict: "5" is not a number."""

    model_config = ConfigDict(strict=True)


class ResponseModel(Model):
    """Part of a response."""

    model_config = ConfigDict(extra="forbid")


@cache
def response_of(record: type, **narrowed: Any) -> type[BaseModel]:
    """The schema of a response that is one record; `narrowed` are more precise types of its fields."""
    hints = get_type_hints(record) | narrowed
    shape: dict[str, Any] = {part.name: (hints[part.name], Field(**part.metadata)) for part in fields(record)}
    return create_model(record.__name__, __base__=ResponseModel, __doc__=record.__doc__, **shape)


# requests


class BatchPath(RequestModel):
    sync_id: str


class JobPath(RequestModel):
    job_id: int


class RequestPath(RequestModel):
    request_id: int


class EmptyBody(Body):
    """A body that is missing, or an empty object."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]


class QueueBody(Body):
    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    priority: Priority | None = None
    force: bool = Field(False, description="Allow this manifest to remove more than queue.removal_limit.")
    manifest_sha256: Sha256 | None = Field(None, description="Queue only this manifest; another one is refused.")
    max_removals: Count | None = Field(None, description="Allow no more rows than these; only with `force`.")
    only: Literal["failed", "deferred"] | None = Field(None, description="Process only failed, or only deferred items.")
    reimport: bool = Field(False, description="Process every item again; excludes `only`.")

    @model_validator(mode="after")
    def _one_scope(self) -> "QueueBody":
        if self.only and self.reimport:
            raise ValueError("only and reimport exclude each other")
        if self.max_removals is not None and not self.force:
            raise ValueError("max_removals needs force")
        return self

    @property
    def scope(self) -> Scope:
        return Scope.REIMPORT if self.reimport else Scope(self.only) if self.only else Scope.ALL


class CancelBody(Body):
    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    job_id: Count | None = Field(None, description="Cancel only this job, or its retry.")


class QueueManyBody(Body):
    sync_ids: list[SyncId] = Field(min_length=1, max_length=MAX_PAGE)
    priority: Priority | None = None


class PauseBody(Body):
    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    reason: str | None = Field(None, max_length=1000, description="Why the queue is paused, shown on the pages.")


class PageQuery(RequestModel):
    limit: int = Field(100, ge=1, le=MAX_PAGE)
    after: int | None = Field(None, ge=0, le=NEWEST, description="`next` of the previous page.")


class StuckQuery(RequestModel):
    limit: int = Field(100, ge=1, le=MAX_PAGE)


class BatchesQuery(PageQuery):
    status: BatchStatus | None = None
    action: Action | None = None
    prefix: str | None = Field(
        None, min_length=1, max_length=255, description="Beginning of the sync_id or the source host."
    )


class ItemsQuery(PageQuery):
    decision: Decision | None = None


class EventsQuery(PageQuery):
    type: str | None = Field(None, pattern="^[a-z_]{1,32}$")
    by: str | None = Field(
        None, min_length=1, max_length=255, description="Who requested it: an operator, or `ingestd`."
    )
    since: datetime | None = Field(None, description="RFC 3339; without an offset it is UTC.")
    sync_id: SyncId | None = None
    above: Count | None = Field(None, description="Only events with a greater id.")

    @field_validator("since")
    @classmethod
    def _utc(cls, since: datetime | None) -> datetime | None:
        if since is None or since.tzinfo is None:
            return since
        try:
            return since.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError("out of range") from None


class JobsQuery(PageQuery):
    state: JobState | None = None


# responses


class Wrong(ResponseModel):
    place: str
    problem: str


class Problem(ResponseModel):
    """An error (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str = Field(description="The message.")
    errors: list[Wrong] = Field([], description="The wrong places of a request.")
    reasons: list[str] = Field([], description="Why this daemon is unhealthy.")


class Health(ResponseModel):
    status: Literal["ok"]


class QueueResult(ResponseModel):
    """The result for one batch."""

    sync_id: str
    status: int = Field(description="The status of queueing it alone: 201, 200, 404 or 409.")
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
    removals: Removals = Field(description="Rows that an import would take out of sight; covers count as files.")


class Accepted(ResponseModel):
    id: int = Field(description="Id of the request.")
    detail: str


class ScanResult(ResponseModel):
    sync_ids: list[str] = Field(description="Batches that the scan recorded or found changed; the first 10,000.")
    unrecorded: int = Field(description="Bundles whose manifest could not be read yet.")
    unrecorded_ids: list[str] = Field(description="Their sync_ids; 20 of them, those with rare reasons first.")
    unrecorded_reasons: dict[str, str] = Field({}, description="Why each of these waits; empty: it is not known.")
    ignored_names: list[str] = Field(description="Names that look like sentinels and are ignored; the first 20.")
    ignored_count: int


@dataclass(frozen=True, slots=True)
class ControlAnswer(records.Control):
    """Whether the queue is paused, on every host."""

    changed: bool = field(metadata={"description": "Whether this request changed it."})


class MountAccepted(ResponseModel):
    """What a host expects to be mounted."""

    before: str | None = Field(alias="from", description="What was expected before; null if nothing was.")
    to: str = Field(description="What is mounted, and expected from now on.")


class StuckBundles(ResponseModel):
    items: list[records.StuckBundle]


class RecentJobs(ResponseModel):
    items: list[records.Job]


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

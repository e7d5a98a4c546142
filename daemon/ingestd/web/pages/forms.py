"""Query parameters and forms of the pages, validated before use."""

from typing import Any, Literal, TypeVar

from flask import request
from pydantic import BaseModel, Field, ValidationError

from ingestd.model import as_recorded
from ingestd.web.api.schemas import MAX_PAGE, Count, Priority, RequestModel, Sha256, SyncId
from ingestd.web.problem import refuse_values

T = TypeVar("T", bound=BaseModel)


class PauseForm(RequestModel):
    next: str = Field("", description="The page that the form was on.")
    reason: str | None = Field(None, max_length=1000)


class SelectedForm(RequestModel):
    sync_ids: list[SyncId] = Field(max_length=MAX_PAGE)
    priority: Priority | None = None


class QueueForm(RequestModel):
    priority: Priority | None = None
    only: Literal["failed", "deferred"] | None = None
    force: bool = False
    manifest_sha256: Sha256 | None = Field(None, description="The manifest that `force` approves.")
    max_removals: Count | None = Field(None, description="How many rows `force` approves.")
    job_id: Count | None = Field(None, description="The job whose priority is changed.")


class CancelForm(RequestModel):
    job_id: Count | None = Field(None, description="The job that the page names.")


def query(model: type[T]) -> T:
    """Validated query parameters; `notice` is ignored, it belongs to the layout."""
    return _checked(model, {name: text for name, text in request.args.items() if text and name != "notice"})


def form(model: type[T]) -> T:
    return _checked(model, {name: text for name, text in request.form.items() if text})


def selected() -> SelectedForm:
    """The selected batches, without duplicates."""
    values: dict[str, Any] = {"sync_ids": list(dict.fromkeys(map(as_recorded, request.form.getlist("sync_id"))))}
    if request.form.get("priority"):
        values["priority"] = request.form["priority"]
    return _checked(SelectedForm, values)


def _checked(model: type[T], values: dict[str, Any]) -> T:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        refuse_values(error)

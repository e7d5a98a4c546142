"""The table of all API routes with their responses. /openapi.json is made from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Response
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from ingestd.records import IngestRequest, Job
from ingestd.store.queries.overview import Overview
from ingestd.web.api import schemas
from ingestd.web.api.commands import Commands
from ingestd.web.api.health import Health
from ingestd.web.api.queries import Queries
from ingestd.web.problem import MIME
from ingestd.web.responses import answer
from ingestd.web.views import BatchDetail

PREFIX = "/api/v1"
PUBLIC = frozenset({"healthz", "readyz"})
SECURITY: dict[str, Any] = {"token": {"type": "http", "scheme": "bearer", "description": "A token of the tokens file."}}


@dataclass(frozen=True, slots=True)
class Route:
    """`problems` are the error statuses of this route, in addition to those of every route."""

    method: str
    rule: str
    view: Callable[..., Response]
    answers: dict[int, type[BaseModel]]
    problems: tuple[int, ...] = ()


def register(app: OpenAPI, commands: Commands, queries: Queries, health: Health) -> None:
    """Adds all routes, and the route of their description."""
    for route in (*command_routes(commands), *query_routes(queries), *health_routes(health)):
        add(app, route)
    add_description(app)


def command_routes(commands: Commands) -> list[Route]:
    batch = f"{PREFIX}/batches/<sync_id>"
    job, plan, control = schemas.response_of(Job), schemas.Plan, schemas.response_of(schemas.ControlAnswer)
    return [
        Route("POST", f"{batch}/queue", commands.queue, {201: job, 200: job}, (404, 409)),
        Route("POST", f"{batch}/cancel", commands.cancel, {200: job}, (404, 409)),
        Route("POST", f"{batch}/preflight", commands.preflight, {200: plan, 202: schemas.Accepted}, (404, 409)),
        Route("POST", f"{PREFIX}/queue", commands.queue_many, {200: schemas.QueueResults}),
        Route("POST", f"{PREFIX}/scan", commands.scan, {202: schemas.Accepted}),
        Route("POST", f"{PREFIX}/pause", commands.pause, {200: control}),
        Route("POST", f"{PREFIX}/resume", commands.resume, {200: control}),
        Route("POST", f"{PREFIX}/mount/accept", commands.accept_mount, {200: schemas.MountAccepted}, (409,)),
    ]


def query_routes(queries: Queries) -> list[Route]:
    batch = f"{PREFIX}/batches/<sync_id>"
    request = schemas.response_of(IngestRequest, result=schemas.ScanResult | schemas.Plan | None)
    return [
        Route("GET", f"{PREFIX}/status", queries.status, {200: schemas.response_of(Overview)}),
        Route("GET", f"{PREFIX}/stuck", queries.stuck, {200: schemas.StuckBundles}),
        Route("GET", f"{PREFIX}/batches", queries.batches, {200: schemas.BatchPage}),
        Route("GET", batch, queries.batch, {200: schemas.response_of(BatchDetail)}, (404,)),
        Route("GET", f"{batch}/items", queries.items, {200: schemas.ItemPage}, (404,)),
        Route("GET", f"{batch}/events", queries.batch_events, {200: schemas.EventPage}, (404,)),
        Route("GET", f"{PREFIX}/events", queries.events, {200: schemas.EventPage}, (404,)),
        Route("GET", f"{PREFIX}/jobs", queries.jobs, {200: schemas.JobPage}),
        Route("GET", f"{PREFIX}/jobs/recent", queries.recent_jobs, {200: schemas.RecentJobs}),
        Route("GET", f"{PREFIX}/jobs/<id:job_id>", queries.job, {200: schemas.response_of(Job)}, (404,)),
        Route("GET", f"{PREFIX}/requests/<id:request_id>", queries.request, {200: request}, (404,)),
    ]


def health_routes(health: Health) -> list[Route]:
    return [
        Route("GET", "/healthz", health.healthz, {200: schemas.Health}),
        Route("GET", "/readyz", health.readyz, {200: schemas.Health}),
    ]


def add(app: OpenAPI, route: Route) -> None:
    is_public = route.view.__name__ in PUBLIC
    general = (400, 413, 421, 500, 503) if is_public else (400, 401, 403, 413, 421, 429, 500, 503)
    responses: dict[Any, Any] = {status: _problem() for status in (*general, *route.problems)} | route.answers
    register_at = app.post if route.method == "POST" else app.get
    security: list[dict[str, list[Any]]] = [] if is_public else [{"token": []}]
    register_at(route.rule, responses=responses, security=security)(_function(route.view))


def _function(view: Callable[..., Response]) -> Callable[..., Response]:
    """A function for a method: flask-openapi3 sets attributes on views, and a method cannot have any."""

    @wraps(view)
    def call(**values: Any) -> Response:
        return view(**values)

    return call


def _problem() -> dict[str, Any]:
    return {"content": {MIME: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def add_description(app: OpenAPI) -> None:
    """Adds /openapi.json. It is built once, after all routes: flask-openapi3 cannot build it in several threads."""
    description: dict[str, Any] = {}

    def openapi() -> Response:
        """This description."""
        return answer(description)

    shape = {"content": {"application/json": {"schema": {"type": "object"}}}}
    responses: dict[Any, Any] = {status: _problem() for status in (401, 403, 413, 421, 429, 500)} | {200: shape}
    app.get("/openapi.json", responses=responses, security=[{"token": []}])(openapi)
    description.update(app.api_doc)

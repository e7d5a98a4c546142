"""The application: guards before every route, problems and counters behind it; and the socket it is served on."""

import time
from typing import Any

from flask import Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from werkzeug.routing import BaseConverter

from ingestd import __version__
from ingestd.config import Settings, read_secret
from ingestd.errors import ConfigError
from ingestd.hosts import is_loopback
from ingestd.listener import Listener
from ingestd.model import as_recorded
from ingestd.pipeline.context import Context
from ingestd.pipeline.instruments import MILLISECONDS_TO_SECONDS, PREFIX
from ingestd.web import pages, problem
from ingestd.web.api import routes
from ingestd.web.api.commands import Commands
from ingestd.web.api.health import Health
from ingestd.web.api.queries import Queries
from ingestd.web.api.schemas import Problem
from ingestd.web.hooks import Hooks
from ingestd.web.operations import Operations
from ingestd.web.problem import ProblemError
from ingestd.web.read_database import ReadDatabase
from ingestd.web.responses import BODY_LIMIT, JsonRequest, refuse_repeated_parameters
from ingestd.web.security.guard import Guard
from ingestd.web.security.tokens import Tokens
from ingestd.web.troubles import Troubles
from ingestd.web.views import Views

THREADS = 16
"""more than requests that change something may occupy (`turns.MAX_CHANGING`)"""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNMATCHED = "unmatched"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline: markup that got into a page in spite of all would be dead there."""


def make_app(context: Context, hooks: Hooks) -> OpenAPI:
    """The application; once for each context, whose registry has its counters from then on."""
    app = _bare_app()
    tokens = Tokens(context.settings.http.tokens_file)
    tokens.load()
    app.before_request(Guard(context.settings.http, tokens, routes.PUBLIC | pages.PUBLIC).check)
    app.before_request(_limit_body)
    app.url_value_preprocessor(_accept_upper_case)
    app.before_request(refuse_repeated_parameters)
    problem.register(app, pages.refusal)
    views, operations = Views(ReadDatabase(context.settings.database)), Operations(context, hooks)
    routes.register(app, Commands(context, operations), Queries(views), Health(context, hooks))
    pages.register(app, context.settings, tokens, views, operations, Troubles(context, hooks))
    _count_requests(app, context.instruments.registry)
    app.after_request(_harden)
    return app


class _IdConverter(BaseConverter):
    """The id of a row; a longer number matches no route."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)


def _bare_app() -> OpenAPI:
    """An application without slash redirects, automatic OPTIONS and documentation routes."""
    app = OpenAPI(
        "ingestd.web",
        info=Info(title="ingestd", version=__version__),
        security_schemes=routes.SECURITY,
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=problem.refuse_values,
        doc_ui=False,
        static_folder="static",
        template_folder="templates",
    )
    app.request_class = JsonRequest
    app.url_map.converters["id"] = _IdConverter
    app.url_map.merge_slashes = False
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    return app


def _accept_upper_case(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Finds a batch also by a sync_id in upper case, at every address that has one."""
    if values and "sync_id" in values:
        values["sync_id"] = as_recorded(values["sync_id"])


def _limit_body() -> None:
    if (request.content_length or 0) > BODY_LIMIT:
        raise ProblemError(413, f"A body may have {BODY_LIMIT} bytes.")


def _harden(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _count_requests(app: OpenAPI, registry: CollectorRegistry) -> None:
    """Counts and times by rule, never by path: no label comes from outside, so their number has a bound."""
    labels, text = ["route", "method", "code"], "Requests answered."
    requests = Counter("http_requests", text, labels, namespace=PREFIX, registry=registry)
    seconds = Histogram(
        "http_request_duration_seconds",
        "From the first look at a request to its answer.",
        ["route"],
        namespace=PREFIX,
        registry=registry,
        buckets=MILLISECONDS_TO_SECONDS,
    )
    for route in (UNMATCHED, *(rule.rule for rule in app.url_map.iter_rules())):
        seconds.labels(route)

    def begin() -> None:
        g.started = time.monotonic()

    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else UNMATCHED
        method = request.method if request.method in METHODS else "other"
        requests.labels(route, method, str(response.status_code)).inc()
        seconds.labels(route).observe(time.monotonic() - g.started)
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, begin)
    app.after_request(end)


def make_listener(settings: Settings, app: OpenAPI) -> Listener | None:
    """Where the application is served; None without an address.

    Raises ConfigError for an address that others can reach while there is no tokens file.
    """
    listen, tokens_file = settings.http.listen, settings.http.tokens_file
    if not listen:
        return None
    if not is_loopback(listen.rpartition(":")[0].strip("[]")):
        if not tokens_file:
            raise ConfigError(f"others can reach [http] listen = {listen!r}: that needs [http] tokens_file")
        read_secret(tokens_file)
    return Listener("http", listen, app, THREADS)

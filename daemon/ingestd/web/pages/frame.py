"""What all pages have around them, and how they refuse."""

from http import HTTPStatus
from typing import Any

from flask import Response, g, make_response, redirect, render_template, request

from ingestd.store import job
from ingestd.store.db import Database
from ingestd.web.auth import SAFE_METHODS
from ingestd.web.problem import Refused, retry
from ingestd.web.tokens import Identity

COUNTED = 10_001
"""jobs of one state that a page counts; of more than that it says so"""
NOTICES = {
    "scan": "The scan has begun. New batches show up in the table.",
    "paused": "The queue is paused: nothing more is claimed, on any host. What runs, runs on.",
    "resumed": "The queue is drained again.",
}
"""What a redirect may leave to be said: a word of the address must not put words into our mouth."""


class Frame:
    """Renders pages with what is the same on all of them."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of somebody who is signed in."""
        control = self.db.read(job.control)
        notice = NOTICES.get(request.args.get("notice", ""))
        # What a form was answered with is read again as the page that shows the same by GET.
        address = values.pop("address", None) or (request.full_path if request.method in SAFE_METHODS else None)
        return render(template, status, control=control, notice=notice, address=address, **values)


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page that asks the database for nothing."""
    identity: Identity | None = g.get("identity")
    may_act = identity is not None and identity.role == "operator"
    return make_response(render_template(template, identity=identity, may_act=may_act, **values), status)


def back(address: str, notice: str = "") -> Response:
    """Back to a page, by GET, so that reloading it repeats nothing."""
    return make_response(redirect(f"{address}?notice={notice}" if notice else address, 303))


def wants_page() -> bool:
    """Whether a browser asks for a page, and not a program, which takes anything or names JSON."""
    is_api = request.path.startswith("/api/") or request.path == "/openapi.json"
    return not is_api and "text/html" in request.headers.get("Accept", "")


def refusal(refused: Refused) -> Response | None:
    """The page that a browser is shown instead of a problem; None for a program."""
    if not wants_page():
        return None
    values: dict[str, Any] = {"title": HTTPStatus(refused.status).phrase, "sentence": str(refused)}
    template = "problem.html"
    if refused.status == 401:
        template, values = "signin.html", {"next": _asked_for(), "refresh": _came_from_elsewhere()}
    response = render(template, refused.status, **values)
    response.headers.update({**retry(refused.status), **refused.headers})
    return response


def _asked_for() -> str:
    """Where signing in leads: to what was asked for, if it is anything to look at."""
    is_page = request.method == "GET" and request.routing_exception is None
    return request.full_path.rstrip("?") if is_page else "/"


def _came_from_elsewhere() -> bool:
    """A link on another site brings no SameSite cookie along; asked for again from here, the page has it."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"

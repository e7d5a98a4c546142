"""What all pages have around them, and how they refuse."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, make_response, redirect, render_template, request

from ingestd.errors import IngestdError
from ingestd.store import job
from ingestd.store.db import Database
from ingestd.web.problem import ProblemError, retry
from ingestd.web.security.guard import SAFE_METHODS
from ingestd.web.security.tokens import Identity

MAX_ADDRESS = 2000
"""characters of an address that is led to: proxies refuse an answer with a header of many kilobytes"""
MAX_COUNTED = 10_000
"""jobs of one state that a page counts; of more than that it says so"""
NOTICES = {
    "scan": "A scan was asked for. New batches show up in the table.",
    "paused": "The queue was paused on every host. What runs, runs on.",
    "resumed": "The queue was resumed.",
    "queued": "A job was queued: it is on top of the job history.",
    "active": "There was an active job already: it is on top of the job history.",
    "cancelled": "The job was cancelled.",
}
"""What a redirect may leave to be said: a word of the address must not put words into our mouth."""


class Layout:
    """Renders pages with what is the same on all of them."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of somebody who is signed in."""
        notice = NOTICES.get(request.args.get("notice", ""))
        # What a form was answered with is read again as the page that shows the same by GET.
        address = values.pop("address", None) or (own_address() if request.method in SAFE_METHODS else None)
        told = {"control": self._control(), "notice": notice, "address": address, "most_counted": MAX_COUNTED}
        return render(template, status, **told, **values)

    def _control(self) -> job.Control | None:
        """Whether the queue is paused; None while nobody can tell, which must not hide what a page has to say."""
        try:
            return self.db.read(job.control)
        except IngestdError:
            return None


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page that asks the database for nothing."""
    identity: Identity | None = g.get("identity")
    may_act = identity is not None and identity.role == "operator"
    return make_response(render_template(template, identity=identity, may_act=may_act, **values), status)


def own_address() -> str:
    """The address of this page; what was to be said once is left out."""
    asked = [(name, text) for name, text in request.args.items() if name != "notice"]
    return f"{request.path}?{urlencode(asked)}" if asked else request.path


def local_address(address: str) -> str:
    """An address of these pages, whatever was sent: nobody is led elsewhere from here."""
    is_ours = address.startswith("/") and address[1:2] not in ("/", "\\") and address.isprintable()
    return address if is_ours and len(address) <= MAX_ADDRESS else "/"


def back(address: str, notice: str = "") -> Response:
    """Back to a page, by GET, so that reloading it repeats nothing."""
    mark = "&" if "?" in address else "?"
    return make_response(redirect(f"{address}{mark}notice={notice}" if notice else address, 303))


def wants_page() -> bool:
    """Whether a browser asks for a page, and not a program, which takes anything or names JSON."""
    is_api = request.path.startswith("/api/") or request.path == "/openapi.json"
    return not is_api and "text/html" in request.headers.get("Accept", "")


def refusal(refused: ProblemError) -> Response | None:
    """The page that a browser is shown instead of a problem; None for a program."""
    if not wants_page():
        return None
    values: dict[str, Any] = {"title": HTTPStatus(refused.status).phrase, "sentence": str(refused)}
    template = "problem.html"
    if refused.status == 401:
        is_lost = request.method not in SAFE_METHODS
        template, values = "sign_in.html", {"next": _asked_for(), "refresh": _came_from_elsewhere(), "is_lost": is_lost}
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

"""The layout shared by all pages, and the pages shown for errors."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, make_response, redirect, render_template, request

from ingestd.errors import IngestdError
from ingestd.store import control, mount
from ingestd.store.db import Database
from ingestd.web.problem import ProblemError, retry
from ingestd.web.security.guard import SAFE_METHODS
from ingestd.web.security.tokens import Identity
from ingestd.web.troubles import Trouble

MAX_ADDRESS = 2000
"""Longest address, in characters, in a redirect: proxies reject responses with very large headers."""
MAX_COUNTED = 10_000
"""Jobs of one state that a page counts; above this it shows "more than"."""
NOTICES = {
    "paused": "The queue was paused on every host. Running jobs continue.",
    "resumed": "The queue was resumed.",
    "queued": "The batch was queued. Its job is at the top of the job history.",
    "active": "The batch already has an active job; it is at the top of the job history.",
    "cancelled": "The job was cancelled.",
    "retry_cancelled": "The retry was cancelled. The batch is not queued again automatically.",
}
"""Messages after a redirect. The address carries only the key, so that a link cannot inject text."""


class Layout:
    """Renders pages with the parts that all of them share."""

    def __init__(self, db: Database, troubles: Callable[[], list[Trouble]]) -> None:
        self.db, self._troubles = db, troubles

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page for a signed-in user."""
        notice = NOTICES.get(request.args.get("notice", ""))
        # The script refreshes from this address; the result page of a form refreshes from the page it came from.
        address = values.pop("address", None) or (own_address() if request.method in SAFE_METHODS else None)
        shared = {"notice": notice, "address": address, "max_counted": MAX_COUNTED}
        return render(template, status, **shared, **self._banners(), **values)

    def _banners(self) -> dict[str, Any]:
        """The pause state, the refused mounts, and other troubles. A page is shown without the database, too."""
        troubles = self._troubles()
        try:
            paused, refused = self.db.read(lambda tx: (control.find(tx), mount.refused(tx)))
        except IngestdError:
            return {"control": None, "refused_mounts": [], "troubles": troubles}
        sentences = [known.sentence for known in refused]
        others = [trouble for trouble in troubles if trouble.cause not in sentences]
        return {"control": paused, "refused_mounts": sentences, "troubles": others}


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page that needs no database."""
    identity: Identity | None = g.get("identity")
    may_act = identity is not None and identity.role == "operator"
    return make_response(render_template(template, identity=identity, may_act=may_act, **values), status)


def own_address() -> str:
    """The address of this page, without its one-time notice."""
    parameters = [(name, text) for name, text in request.args.items() if name != "notice"]
    return f"{request.path}?{urlencode(parameters)}" if parameters else request.path


def local_address(address: str) -> str:
    """`address` if it is on this site, else "/": prevents open redirects."""
    is_ours = address.startswith("/") and address[1:2] not in ("/", "\\") and address.isprintable()
    return address if is_ours and len(address) <= MAX_ADDRESS else "/"


def back(address: str, notice: str = "") -> Response:
    """Redirects to a page by GET, so that a reload does not repeat the action."""
    mark = "&" if "?" in address else "?"
    return make_response(redirect(f"{address}{mark}notice={notice}" if notice else address, 303))


def wants_page() -> bool:
    """Whether the client is a browser that expects HTML; programs accept anything or ask for JSON."""
    is_api = request.path.startswith("/api/") or request.path == "/openapi.json"
    return not is_api and "text/html" in request.headers.get("Accept", "")


def refusal(refused: ProblemError) -> Response | None:
    """The page shown to a browser in place of problem+json; None for other clients."""
    if not wants_page():
        return None
    values: dict[str, Any] = {"title": HTTPStatus(refused.status).phrase, "sentence": str(refused)}
    template = "problem.html"
    if refused.status == 401:
        template = "sign_in.html"
        values = {"next": _requested_page(), "refresh": _is_cross_site(), "session_ended": _is_action()}
    response = render(template, refused.status, **values)
    response.headers.update({**retry(refused.status), **refused.headers})
    return response


def _is_action() -> bool:
    return request.method not in SAFE_METHODS


def _requested_page() -> str:
    """Where signing in leads: the requested page, or "/" if the request was not for a page."""
    is_page = request.method == "GET" and request.routing_exception is None
    return request.full_path.rstrip("?") if is_page else "/"


def _is_cross_site() -> bool:
    """A link on another site sends no SameSite=Strict cookie; a refresh from our own page sends it."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"

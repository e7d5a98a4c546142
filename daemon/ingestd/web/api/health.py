"""/healthz and /readyz: is this daemon alive, and can it work? Both are public, so they show no internal detail."""

import threading
import time
from collections.abc import Callable, Iterable

from flask import Response

from ingestd.errors import IngestdError, OtherRelease, Shortage
from ingestd.mount.access import Mount
from ingestd.pipeline.context import Context
from ingestd.plain_http import Environ, StartResponse, WsgiApp
from ingestd.shortage import underlying_shortage
from ingestd.store.connection import Limits
from ingestd.store.db import Database
from ingestd.store.queries.live import live
from ingestd.web.hooks import Hooks
from ingestd.web.problem import problem
from ingestd.web.responses import answer

CACHE_SECONDS = 1.0
STATEMENT_SECONDS = 2.0
LACKING = "this process or its machine has too few descriptors, threads, processes or too little memory"


class Health:
    """The handlers of /healthz and /readyz."""

    def __init__(self, context: Context, hooks: Hooks) -> None:
        self._context, self._hooks = context, hooks
        # A handle of its own with short timeouts: health must report a database that hangs, and not hang with it.
        self._db = Database(context.settings.database, Limits(statement=STATEMENT_SECONDS))
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._problem: str | None = None

    def healthz(self) -> Response:
        """200 if all parts of this daemon show signs of life."""
        return _report(self._hooks.health())

    def readyz(self) -> Response:
        """200 if this daemon can work: all parts are alive, database and mount are available, resources suffice."""
        reasons = [*self._hooks.health(), *reasons_of_mount(self._context.mount)]
        if (problem := self._database_problem()) is not None:
            reasons.append(problem)
        if self._hooks.lacking():
            reasons.append(LACKING)
        return _report(list(dict.fromkeys(reasons)))

    def probes(self) -> dict[str, WsgiApp]:
        """Both as WSGI applications, for a listener without the guards and counters of the pages."""
        return {"/healthz": _wsgi(self.healthz), "/readyz": _wsgi(self.readyz)}

    def _database_problem(self) -> str | None:
        """The result of a check that is at most one second old, however many clients ask."""
        with self._lock:
            if time.monotonic() - self._checked_at > CACHE_SECONDS:
                self._problem, self._checked_at = self._ping(), time.monotonic()
            return self._problem

    def _ping(self) -> str | None:
        try:
            # What a scrape asks, too: a server that answers, but cannot run queries, is not one that jobs can use.
            self._db.read(live)
        except IngestdError as error:
            return "the database is unavailable" if underlying_shortage(error) is None else LACKING
        return None


def reasons_of_mount(mount: Mount) -> list[str]:
    """Why the mount cannot be used, without any path or name."""
    match mount.error:
        case _ if mount.up:
            reasons = [] if mount.listing_problem is None else ["the hand-over folder cannot be listed"]
        case Shortage():
            reasons = [LACKING]
        case OtherRelease():
            reasons = ["another release of ingestd was installed: this daemon has to be restarted"]
        case _:
            reasons = ["the mount is unavailable"]
    return reasons if mount.hanging_problem is None else [*reasons, "too many reads hang in the mount"]


def _report(reasons: list[str]) -> Response:
    if reasons:
        return problem(503, f"This daemon is unhealthy: {'; '.join(reasons)}.", reasons=reasons)
    return answer({"status": "ok"})


def _wsgi(view: Callable[[], Response]) -> WsgiApp:
    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return view()(environ, start_response)

    return call

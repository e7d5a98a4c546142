"""/healthz and /readyz: is this daemon alive, and can it work? Both are public, so they show no internal detail."""

import threading
import time
from collections.abc import Callable, Iterable

from flask import Response

from ingestd.errors import IngestdError
from ingestd.pipeline.context import Context
from ingestd.plain_http import Environ, StartResponse, WsgiApp
from ingestd.store.connection import Limits
from ingestd.store.db import Database
from ingestd.store.queries.live import live
from ingestd.web.hooks import Hooks
from ingestd.web.problem import problem
from ingestd.web.responses import answer

CACHE_SECONDS = 1.0
STATEMENT_SECONDS = 2.0


class Health:
    """The handlers of /healthz and /readyz."""

    def __init__(self, context: Context, hooks: Hooks) -> None:
        self._context, self._hooks = context, hooks
        # A handle of its own with short timeouts: health must report a database that hangs, and not hang with it.
        self._db = Database(context.settings.database, Limits(statement=STATEMENT_SECONDS))
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._is_up = False

    def healthz(self) -> Response:
        """200 if all parts of this daemon show signs of life."""
        return _report(self._hooks.health())

    def readyz(self) -> Response:
        """200 if this daemon can work: all parts are alive, database and mount are available."""
        reasons = self._hooks.health()
        mount = self._context.mount
        if not mount.up:
            reasons.append("the mount is unavailable")
        elif mount.listing_problem is not None:
            reasons.append("the hand-over folder cannot be listed")
        if mount.hanging_problem is not None:
            reasons.append("too many reads hang in the mount")
        if not self._database_up():
            reasons.append("the database is unavailable")
        return _report(reasons)

    def probes(self) -> dict[str, WsgiApp]:
        """Both as WSGI applications, for a listener without the guards and counters of the pages."""
        return {"/healthz": _wsgi(self.healthz), "/readyz": _wsgi(self.readyz)}

    def _database_up(self) -> bool:
        """The result of a check that is at most one second old, however many clients ask."""
        with self._lock:
            if time.monotonic() - self._checked_at > CACHE_SECONDS:
                self._is_up, self._checked_at = self._ping(), time.monotonic()
            return self._is_up

    def _ping(self) -> bool:
        try:
            # What a scrape asks, too: a server that answers, but cannot run queries, is not one that jobs can use.
            self._db.read(live)
        except IngestdError:
            return False
        return True


def _report(reasons: list[str]) -> Response:
    if reasons:
        return problem(503, f"This daemon is unhealthy: {'; '.join(reasons)}.", reasons=reasons)
    return answer({"status": "ok"})


def _wsgi(view: Callable[[], Response]) -> WsgiApp:
    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return view()(environ, start_response)

    return call

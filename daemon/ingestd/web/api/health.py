"""Whether this daemon lives, and whether it can work. Asked by anybody, so answers name no inner detail."""

import threading
import time

from flask import Response

from ingestd.errors import IngestdError
from ingestd.pipeline.context import Context
from ingestd.store.db import Database
from ingestd.store.queries import server
from ingestd.web.hooks import Hooks
from ingestd.web.problem import problem
from ingestd.web.responses import answer

CACHE_SECONDS = 1.0
STATEMENT_SECONDS = 2.0


class Health:
    """Answers /healthz and /readyz."""

    def __init__(self, context: Context, hooks: Hooks) -> None:
        self._context, self._hooks = context, hooks
        # Its own, with little patience: it is to tell that the database hangs, and not to hang with it.
        self._db = Database(context.settings.database, statement_seconds=STATEMENT_SECONDS)
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._is_up = False

    def healthz(self) -> Response:
        """Whether all parts of this daemon give signs of life."""
        return _told(self._hooks.health())

    def readyz(self) -> Response:
        """Whether this daemon can work: all parts live, database and mount are there."""
        reasons = self._hooks.health()
        if not self._context.mount.up:
            reasons.append("the mount is not there")
        if not self._database_up():
            reasons.append("the database is out of reach")
        return _told(reasons)

    def _database_up(self) -> bool:
        """Asked at most once a second, however many want to know."""
        with self._lock:
            if time.monotonic() - self._looked_at > CACHE_SECONDS:
                self._is_up, self._looked_at = self._ask(), time.monotonic()
            return self._is_up

    def _ask(self) -> bool:
        try:
            self._db.read(server.ping)
        except IngestdError:
            return False
        return True


def _told(reasons: list[str]) -> Response:
    if reasons:
        return problem(503, f"This daemon is not well: {'; '.join(reasons)}.", reasons=reasons)
    return answer({"status": "ok"})

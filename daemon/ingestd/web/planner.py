"""Plans that take too long for one request, made one after another in the background."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from ingestd.errors import DatabaseUnavailable, IngestdError, ManifestUnsettled, MountUnavailable
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.service import Service
from ingestd.web.problem import ProblemError

log = structlog.get_logger()

IDLE_SECONDS = 3600.0
ERRORS_KEPT = 100


@contextmanager
def mount_asked(context: Context) -> Iterator[None]:
    """A manifest that cannot be read may be the fault of the mount, which says nothing about the bundle."""
    try:
        yield
    except ManifestUnsettled:
        context.mount.check()
        raise


class Planner:
    """Makes accepted plans in the thread of `service`: each batch once at a time, those left over when it stops.

    An outage of the database or the mount is waited out, as every part does.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._pending: dict[str, None] = {}
        self._errors: dict[str, str] = {}
        self._closed = False
        self.service = Service("planner", self._step, finally_do=self._drain)

    def accept(self, sync_id: str) -> None:
        """Notes a batch whose plan is to be made; one that waits already, or is in hand, is not made twice."""
        with self._lock:
            if self._closed:
                raise ProblemError(503, "This process is stopping.")
            self._errors.pop(sync_id, None)
            self._pending.setdefault(sync_id)
        self.service.wake()

    def state(self, sync_id: str) -> dict[str, Any]:
        with self._lock:
            return {"pending": sync_id in self._pending, "error": self._errors.get(sync_id)}

    def _step(self) -> float:
        sync_id = self._next()
        if sync_id is None:
            return IDLE_SECONDS
        self._make(sync_id)
        return 0.0

    def _next(self, *, close: bool = False) -> str | None:
        """The oldest batch that waits. `close`: if none does, none is accepted from now on."""
        with self._lock:
            sync_id = next(iter(self._pending), None)
            self._closed = self._closed or (close and sync_id is None)
            return sync_id

    def _make(self, sync_id: str) -> None:
        try:
            with mount_asked(self._context):
                preflight(self._context, sync_id)
        except (DatabaseUnavailable, MountUnavailable):
            raise
        except IngestdError as error:
            log.warning("preflight_failed", sync_id=sync_id, error=str(error))
            self._end(sync_id, str(error))
        except Exception:
            self._end(sync_id, "it failed for a reason that the log of the daemon tells")
            raise
        else:
            self._end(sync_id)

    def _end(self, sync_id: str, error: str | None = None) -> None:
        with self._lock:
            self._pending.pop(sync_id, None)
            if error is not None:
                self._errors[sync_id] = error
                while len(self._errors) > ERRORS_KEPT:
                    del self._errors[next(iter(self._errors))]

    def _drain(self) -> None:
        """What was accepted is done; in an outage it is dropped, for a plan is made again when its batch is queued."""
        try:
            while (sync_id := self._next(close=True)) is not None:
                self._make(sync_id)
        except IngestdError as outage:
            log.warning("preflights_dropped", error=str(outage))
        finally:
            self._context.db.close()

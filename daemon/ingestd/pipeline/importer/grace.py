"""How long a run waits for what cannot be read at present.

It waits a moment in its worker. After that its job is set aside, so that one bundle keeps no worker, and the next run
tries again, until mount.settle_seconds have passed.
"""

import math
import time
from collections.abc import Callable

from ingestd.errors import NotSettled
from ingestd.pipeline.context import Context
from ingestd.pipeline.unsettled import Unsettled

IN_WORKER_SECONDS, WHOLE_SECONDS = 0.1, 1.0
"""how long a run waits in its worker, and mount.settle_seconds that are so short that it waits for all of them"""
MANIFEST, ITEMS, COVERS, MEMORY = "manifest_unsettled", "items_unreadable", "covers_unreadable", "memory"
"""what is waited for: the reasons of released jobs"""
PROBLEMS = {
    ITEMS: "some of its items cannot be read at present",
    COVERS: "some of its covers cannot be read at present",
    MEMORY: "its last run had too little memory",
}


class Grace:
    """The waits of one run for one cause. `pause(seconds)` waits, and raises when the daemon stops meanwhile."""

    def __init__(
        self, unsettled: Unsettled, job_id: int, cause: str, seconds: float, pause: Callable[[float], None]
    ) -> None:
        self._cause, self._seconds, self._pause = cause, seconds, pause
        waited = unsettled.waited(job_id, cause)
        self._is_first = waited is None
        self._settled_at = time.monotonic() + seconds - (waited or 0.0)
        self._leave_at: float | None = None
        self.problem = PROBLEMS.get(cause, cause)
        """what cannot be read, for people"""
        self.sync_id = ""
        """the bundle whose manifest cannot be read"""

    @classmethod
    def of_job(cls, context: Context, job_id: int, cause: str, pause: Callable[[float], None]) -> "Grace":
        return cls(context.unsettled, job_id, cause, context.settings.mount.settle_seconds, pause)

    def settled_at(self) -> float:
        """Until when (monotonic seconds) it is worth trying again what cannot be read now."""
        return self._settled_at

    def pause(self, seconds: float) -> None:
        """Waits between two tries. Raises NotSettled when this run has waited long enough."""
        now = time.monotonic()
        if self._leave_at is None:
            longest = math.inf if self._seconds <= WHOLE_SECONDS else IN_WORKER_SECONDS
            self._leave_at = now + (longest if self._is_first else 0.0)
        if now >= self._leave_at:
            raise NotSettled(self._cause, self.problem, self.sync_id)
        self._pause(min(seconds, self._leave_at - now))

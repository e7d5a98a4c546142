"""Looks at the manifests of jobs that are set aside: a claim for each would fill the ledger."""

import math
import time
from collections.abc import Callable
from functools import partial

from ingestd.errors import ManifestTakesLong, ManifestUnsettled, Stopping, Unavailable
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.grace import MANIFEST
from ingestd.store import control, job
from ingestd.store.attempts import never
from ingestd.store.db import Tx

LOOK_SECONDS, ROUND_SECONDS, SILENT_PAUSE = 2.0, 2.0, 20.0
"""the longest look at one manifest; after which no further look begins; and in which, after a manifest that was silent,
only workers without a job look"""


class Looks:
    """The looks of one process. Thread-safe. `is_stopping()` ends them."""

    def __init__(self, context: Context, is_stopping: Callable[[], bool]) -> None:
        self._context, self._is_stopping = context, is_stopping
        self._silent_until = -math.inf

    def before_claim(self) -> None:
        """Looks at one manifest. After one that was silent none is looked at for a while: others are to be claimed."""
        if time.monotonic() >= self._silent_until:
            self.look(1)

    def look(self, limit: int) -> bool:
        """Looks at some manifests that are due; True if a job may be claimed again."""
        end, any_ready = time.monotonic() + ROUND_SECONDS, False
        for _ in range(limit):
            is_over = self._is_stopping() or time.monotonic() >= end
            due = {} if is_over else self._context.unsettled.take_due(1)
            if not due:
                break
            ((job_id, sync_id),) = due.items()
            is_paused, is_queued = self._context.db.read(partial(_state, job_id=job_id), keep_waiting=never)
            if is_paused:
                self._context.unsettled.put_back(job_id)
                break
            any_ready |= is_queued and self._look(job_id, sync_id)
            if not is_queued:
                self._context.unsettled.forget(job_id)
        return any_ready

    def _look(self, job_id: int, sync_id: str) -> bool:
        began_at, unsettled = time.monotonic(), self._context.unsettled
        if self._is_unsettled(sync_id):
            unsettled.add(job_id, MANIFEST, self._context.settings.mount.settle_seconds, sync_id, began_at)
            return False
        unsettled.end(job_id)
        return True

    def _is_unsettled(self, sync_id: str) -> bool:
        """Whether a manifest cannot be read yet. One that takes long can be: its run has all the time."""
        try:
            if not self._context.mount.manifest_answers(sync_id, LOOK_SECONDS):
                self._silent_until = time.monotonic() + SILENT_PAUSE
                return True
            self._read(sync_id)
        except (ManifestUnsettled, Unavailable, Stopping):
            return True
        except Exception:  # noqa: BLE001  its run finds out what that means
            return False
        return False

    def _read(self, sync_id: str) -> None:
        end = time.monotonic() + LOOK_SECONDS

        def go_on() -> None:
            if self._is_stopping():
                raise Stopping
            if time.monotonic() >= end:
                raise ManifestTakesLong(f"the manifest of {sync_id} takes long to read")

        delivery.read(self._context, sync_id, on_alive=go_on, deadline=LOOK_SECONDS, only_short=True, is_probed=True)


def _state(tx: Tx, job_id: int) -> tuple[bool, bool]:
    """Whether the queue is paused, and whether this job is still queued."""
    return control.is_paused(tx), job.is_queued(tx, job_id)

"""Looks at the manifests of jobs that are set aside: a claim for each would fill the ledger."""

import time
from collections.abc import Callable

from ingestd.errors import ManifestTakesLong, ManifestUnsettled, Unavailable
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer.grace import MANIFEST
from ingestd.store import control, job
from ingestd.store.db import Tx

LOOK_SECONDS, ROUND_SECONDS = 2.0, 2.0
"""the longest look at one manifest, and after which no further look begins"""


def look_again(context: Context, is_stopping: Callable[[], bool], limit: int) -> bool:
    """Looks at some manifests that are due; True if a job may be claimed again."""
    end = time.monotonic() + ROUND_SECONDS
    any_ready = False
    for _ in range(limit):
        due = {} if is_stopping() or time.monotonic() >= end else context.unsettled.take_due(1)
        if not due:
            break
        ((job_id, sync_id),) = due.items()
        any_ready |= _look(context, job_id, sync_id, is_stopping)
    return any_ready


def _look(context: Context, job_id: int, sync_id: str, is_stopping: Callable[[], bool]) -> bool:
    may_be_claimed, is_queued = context.db.read(lambda tx: _state(tx, job_id), keep_waiting=lambda: False)
    if not is_queued:
        context.unsettled.forget(job_id)
    elif may_be_claimed and not is_unsettled(context, sync_id, is_stopping):
        context.unsettled.end(job_id)
        return True
    elif may_be_claimed:
        context.unsettled.add(job_id, MANIFEST, context.settings.mount.settle_seconds, sync_id)
    return False


def _state(tx: Tx, job_id: int) -> tuple[bool, bool]:
    """Whether anything is claimed at all, and whether this job is still queued."""
    return not control.is_paused(tx), job.is_queued(tx, job_id)


def is_unsettled(context: Context, sync_id: str, is_stopping: Callable[[], bool]) -> bool:
    """Whether a manifest cannot be read yet. One that takes long can be: its run has all the time."""
    if not context.mount.manifest_answers(sync_id, LOOK_SECONDS):
        return True
    end = time.monotonic() + LOOK_SECONDS

    def go_on() -> None:
        if is_stopping() or time.monotonic() >= end:
            raise ManifestTakesLong(f"the manifest of {sync_id} takes long to read")

    try:
        delivery.read(context, sync_id, on_alive=go_on, deadline=LOOK_SECONDS, only_short=True)
    except (ManifestUnsettled, Unavailable):
        return True
    except Exception:  # noqa: BLE001  its run finds out what that means
        return False
    return False

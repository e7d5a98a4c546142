"""Pauses and resumes the queue, for all hosts."""

from ingestd.pipeline.context import Context
from ingestd.store import control, ledger
from ingestd.store.db import Tx


def pause(context: Context, requested_by: str, reason: str | None) -> bool:
    """Stops claiming on every host; False if the queue was paused already."""

    def work(tx: Tx) -> bool:
        changed = control.pause(tx, requested_by, reason)
        if changed:
            ledger.append(tx, None, "queue_paused", phase="queue", requested_by=requested_by, reason=reason)
        return changed

    return context.db.transaction(work)


def resume(context: Context, requested_by: str) -> bool:
    """Restarts claiming; False if the queue was not paused."""

    def work(tx: Tx) -> bool:
        changed = control.resume(tx)
        if changed:
            ledger.append(tx, None, "queue_resumed", phase="queue", requested_by=requested_by, reason=None)
        return changed

    return context.db.transaction(work)

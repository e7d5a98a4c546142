"""Bundles that cannot be read or recorded, for a reason that concerns each alone: reported once, and tried again."""

from functools import partial

import structlog

from ingestd.errors import DatabaseContention, DataRefused
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import host
from ingestd.pipeline.settling import Waits
from ingestd.store import batch, ledger, stuck
from ingestd.store.attempts import never
from ingestd.store.db import Tx

log = structlog.get_logger()

FIRST_PAUSE, MAX_PAUSE = 5.0, 900.0
MAX_REASON = 2000
"""characters of a reason that are kept"""


class Stuck:
    """The stuck bundles of this process, each with a backoff of its own. All hosts share the rows that report them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.waits = Waits(FIRST_PAUSE, MAX_PAUSE)
        self._reported: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        return self.waits.names

    def load(self) -> None:
        """Takes over what this process has not reported itself, and makes it due now.

        Another host may have reported it, or an earlier process; either may be gone, while the bundle was recorded.
        """
        for sync_id in set(self._context.db.read(stuck.sync_ids)) - self._reported:
            self._reported.add(sync_id)
            self.waits.add(sync_id)

    def note(self, sync_id: str, error: Exception, longest: float = MAX_PAUSE) -> None:
        """Records that a bundle cannot be read or recorded; it is tried again within `longest` seconds.

        Raises DatabaseUnavailable when it cannot be reported: then it may not be to blame, and nothing is noted.
        """
        text = f"{error}" if str(error) else type(error).__name__
        reason = text.encode("utf-8", "backslashreplace").decode()[:MAX_REASON]
        if sync_id not in self._reported:
            self._report(sync_id, reason)
        # Logged at each try: the pauses between them grow.
        log.warning("bundle_stuck", sync_id=sync_id, reason=reason)
        self.waits.postpone(sync_id, longest)

    def _report(self, sync_id: str, reason: str) -> None:
        """Reports a bundle, but does not wait for a row that others hold: then the next try reports it."""
        try:
            self._context.db.transaction(partial(_report, sync_id=sync_id, reason=reason), keep_waiting=never)
        except DataRefused as refused:
            log.warning("bundle_stuck_not_reported", sync_id=sync_id, reason=str(refused))
        except DatabaseContention as held:
            log.warning("bundle_stuck_not_reported", sync_id=sync_id, reason=str(held))
            return
        self._reported.add(sync_id)

    def end(self, sync_id: str) -> None:
        """Forgets a bundle that was read and recorded, or whose sentinel is gone. Raises DatabaseUnavailable.

        It does not wait for a row that others hold: `load` takes over what is left, and it ends again.
        """
        if sync_id in self._reported:
            self._reported.discard(sync_id)
            try:
                self._context.db.transaction(partial(stuck.delete, sync_id=sync_id), keep_waiting=never)
            except DatabaseContention as held:
                log.warning("bundle_stuck_not_ended", sync_id=sync_id, reason=str(held))
            else:
                log.info("bundle_no_longer_stuck", sync_id=sync_id)
        self.waits.end(sync_id)


def _report(tx: Tx, sync_id: str, reason: str) -> None:
    """One row and one ledger event, however many hosts and processes meet the bundle."""
    if stuck.insert(tx, sync_id, reason, host()):
        known = batch.find(tx, sync_id)
        batch_id = known.id if known else None
        ledger.append(tx, batch_id, "bundle_stuck", phase="scan", sync_id=sync_id, reason=reason)

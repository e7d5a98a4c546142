"""Bundles that cannot be read or recorded, for a reason that concerns each alone: reported once, and tried again."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog

from ingestd.errors import DatabaseContention, DataRefused
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import host
from ingestd.pipeline.settling import Waits
from ingestd.store import batch, ledger, stuck
from ingestd.store.attempts import never
from ingestd.store.db import Tx

log = structlog.get_logger()

T = TypeVar("T")

FIRST_PAUSE, MAX_PAUSE = 5.0, 900.0
MAX_SILENCE = 4 * MAX_PAUSE
"""after which a report of another host that is not confirmed is out of date, in seconds"""
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
        self._report(sync_id, reason)
        # Logged at each try: the pauses between them grow.
        log.warning("bundle_stuck", sync_id=sync_id, reason=reason)
        self.waits.postpone(sync_id, longest)

    def _report(self, sync_id: str, reason: str) -> None:
        """Reports or confirms it, but does not wait for a row that others hold: then the next try reports it."""
        try:
            if sync_id in self._reported and self._write(partial(stuck.refresh, sync_id=sync_id)):
                return
            self._write(partial(_report, sync_id=sync_id, reason=reason))
        except DataRefused as refused:
            log.warning("bundle_stuck_not_reported", sync_id=sync_id, reason=str(refused))
        except DatabaseContention as held:
            log.warning("bundle_stuck_not_reported", sync_id=sync_id, reason=str(held))
            return
        self._reported.add(sync_id)

    def end(self, sync_id: str) -> None:
        """Forgets a bundle that was read and recorded. Raises DatabaseUnavailable.

        It does not wait for a row that others hold: `load` takes over what is left, and it ends again.
        """
        self._end(sync_id, partial(stuck.delete, sync_id=sync_id))

    def end_unlisted(self, sync_id: str) -> None:
        """As `end`, for a bundle that this host does not list; a report that another host confirms stays."""
        self._end(sync_id, partial(stuck.delete_unlisted, sync_id=sync_id, host=host(), silence=MAX_SILENCE))

    def _end(self, sync_id: str, delete: Callable[[Tx], bool]) -> None:
        if sync_id in self._reported:
            self._reported.discard(sync_id)
            try:
                is_ended = self._write(delete)
            except DatabaseContention as held:
                log.warning("bundle_stuck_not_ended", sync_id=sync_id, reason=str(held))
            else:
                if is_ended:
                    log.info("bundle_no_longer_stuck", sync_id=sync_id)
        self.waits.end(sync_id)

    def _write(self, work: Callable[[Tx], T]) -> T:
        return self._context.db.transaction(work, keep_waiting=never)


def _report(tx: Tx, sync_id: str, reason: str) -> None:
    """One row and one ledger event, however many hosts and processes meet the bundle."""
    if stuck.insert(tx, sync_id, reason, host()):
        known = batch.find(tx, sync_id)
        batch_id = known.id if known else None
        ledger.append(tx, batch_id, "bundle_stuck", phase="scan", sync_id=sync_id, reason=reason)

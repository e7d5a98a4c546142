"""How long a scan waits for manifests that take long, when a person waits for the scan."""

import time
from collections.abc import Callable, Collection

from ingestd.pipeline.lanes import Outcome

LIMIT_SECONDS = 300.0
"""after the last progress with any other bundle, the scan ends without those that are still being read"""
FIRST_NOTICE, NOTICE_SECONDS = 5.0, 30.0
"""seconds without progress until the person is informed, and until it is repeated"""

OnWait = Callable[[Collection[str]], None]


class ScanLimit:
    """Ends a scan LIMIT_SECONDS after its last progress: other outcomes than another turn for what takes long.

    `on_wait(sync_ids)` is called now and then with what is waited for.
    """

    def __init__(self, on_wait: OnWait) -> None:
        self._on_wait = on_wait
        self._progress_at = time.monotonic()
        self._notice_after = FIRST_NOTICE
        self.left_out: list[str] = []
        """sync_ids that were still being read at the end"""

    def is_over(self, outcomes: Collection[Outcome], pending: Collection[str]) -> bool:
        """Takes note of outcomes, or that there are none yet."""
        now = time.monotonic()
        if not all(outcome.task.turn and outcome.next_task for outcome in outcomes):
            self._progress_at, self._notice_after = now, FIRST_NOTICE
        quiet = now - self._progress_at
        if pending and quiet >= self._notice_after:
            self._notice_after = quiet + NOTICE_SECONDS
            self._on_wait(pending)
        if quiet < LIMIT_SECONDS:
            return False
        self.left_out = sorted(pending)
        return True

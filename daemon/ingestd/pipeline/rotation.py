"""Reads known manifests again, a few at each full scan: finds re-deliveries that gave the watcher no event."""

from collections import deque
from collections.abc import Callable, Set

BYTES_PER_TURN = 16 * 2**20
BYTES_PER_FILE = 2**16
"""what opening a file costs, as bytes of the budget"""


class Rotation:
    """The known manifests in the order in which they are read again. For the scanner's thread only."""

    def __init__(self) -> None:
        self._queue: deque[str] = deque()

    def turn(self, known: Set[str], read: Callable[[str], int]) -> None:
        """Calls `read` for at least one manifest of `known`, and for more while the byte budget lasts.

        `read` returns the size of the manifest in bytes. All have had their turn before the first is read again.
        """
        if not self._queue:
            self._queue.extend(sorted(known))
        budget = BYTES_PER_TURN
        while self._queue and budget > 0:
            sync_id = self._queue.popleft()
            if sync_id in known:
                budget -= read(sync_id) + BYTES_PER_FILE

"""Reads known manifests again, a few at each full scan: finds re-deliveries that gave the watcher no event."""

from collections import deque
from collections.abc import Set

BYTES_PER_TURN = 16 * 2**20
BYTES_PER_FILE = 2**16
"""what opening a file costs, as bytes of the budget"""
FILES_PER_GROUP = 8


class Rotation:
    """The known manifests in the order in which they are read again. For the scanner's thread only."""

    def __init__(self) -> None:
        self._queue: deque[str] = deque()
        self._budget = 0

    def begin_turn(self, known: Set[str]) -> None:
        """Begins a turn, with a budget of bytes. All have had their turn before the first is read again."""
        if not self._queue:
            self._queue.extend(sorted(known))
        self._budget = BYTES_PER_TURN

    def next_group(self, known: Set[str]) -> list[str]:
        """Some manifests of `known` to read together; at least one a turn, and none once the budget is spent."""
        group: list[str] = []
        while self._queue and self._budget > 0 and len(group) < FILES_PER_GROUP:
            sync_id = self._queue.popleft()
            if sync_id in known:
                group.append(sync_id)
                self._budget -= BYTES_PER_FILE
        return group

    def spend(self, size: int) -> None:
        """Takes the bytes of a manifest that was read from the budget."""
        self._budget -= size

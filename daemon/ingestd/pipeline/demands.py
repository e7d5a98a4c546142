"""Full scans that were requested, and the outcome of each."""

import threading
import time
from dataclasses import dataclass
from typing import Literal

SCANS_KEPT = 100


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What came of a full scan that was demanded: the bundles that it recorded or found changed, or why it failed."""

    state: Literal["running", "done", "failed"] = "running"
    sync_ids: tuple[str, ...] = ()
    unrecorded: int | None = None
    error: str | None = None


class Demands:
    """Full scans that somebody demanded, by number; what came of the last ones is kept.

    A scan answers all demands made before it began. They share its number, so many of them take no more room than one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of the clock: a number that another process gave is unknown to this one, rather than that of another scan.
        self._next = int(time.time() * 1000)
        self._outcomes: dict[int, ScanOutcome] = {}

    def add(self) -> int:
        """Notes a demand; the number of the scan that will answer it."""
        with self._lock:
            self._outcomes.setdefault(self._next, ScanOutcome())
            while len(self._outcomes) > SCANS_KEPT:
                del self._outcomes[min(self._outcomes)]
            return self._next

    @property
    def are_open(self) -> bool:
        """Whether a demand waits for a scan that has yet to begin."""
        return self._next in self._outcomes

    def begin(self) -> int | None:
        """The number of the scan that begins now; None if it was not demanded."""
        with self._lock:
            if self._next not in self._outcomes:
                return None
            self._next += 1
            return self._next - 1

    def end(self, number: int | None, outcome: ScanOutcome) -> None:
        if number is not None:
            with self._lock:
                self._outcomes[number] = outcome

    def outcome(self, number: int) -> ScanOutcome | None:
        with self._lock:
            return self._outcomes.get(number)

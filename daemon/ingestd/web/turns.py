"""Requests that change a batch take turns, so that those for a batch that others hold leave threads to all else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingestd.errors import DatabaseContention

PATIENCE = 1.0
"""seconds that a request waits for its turn"""


@dataclass(slots=True)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Turns:
    """The batches that requests of this process are changing. Each has one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    @contextmanager
    def of(self, sync_id: str) -> Iterator[None]:
        """Raises DatabaseContention if another request for this batch does not end soon."""
        with self._lock:
            turn = self._turns.setdefault(sync_id, _Turn())
            turn.users += 1
        try:
            if not turn.lock.acquire(timeout=PATIENCE):
                raise DatabaseContention(f"another request for batch {sync_id} is still running; try again later")
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[sync_id]

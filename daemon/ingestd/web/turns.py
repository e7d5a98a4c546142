"""Requests that change something take turns, so that those that wait for what others hold leave threads to all else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingestd.errors import DatabaseContention

PATIENCE = 1.0
"""seconds that a request waits for its turn"""
MAX_CHANGING = 6
"""requests that change something at a time, fewer than the listener has threads: each may wait for rows, or plan"""


@dataclass(slots=True)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Turns:
    """The requests of this process that change something, few at a time, and for each batch one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}
        self._places = threading.BoundedSemaphore(MAX_CHANGING)

    @contextmanager
    def any(self) -> Iterator[None]:
        """Raises DatabaseContention if too many other requests do not end soon."""
        if not self._places.acquire(timeout=PATIENCE):
            raise DatabaseContention("too many other requests are still running; try again later")
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def of(self, sync_id: str) -> Iterator[None]:
        """As `any`, also if another request for this batch does not end soon."""
        with self._lock:
            turn = self._turns.setdefault(sync_id, _Turn())
            turn.users += 1
        try:
            if not turn.lock.acquire(timeout=PATIENCE):
                raise DatabaseContention(f"another request for batch {sync_id} is still running; try again later")
            try:
                with self.any():
                    yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[sync_id]

"""Compares known manifests with their digests again, in turn: finds re-deliveries that gave the watcher no event.

It only names what has to be read again. Nothing waits for it, and while new manifests are read it rests.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import NamedTuple

from ingestd.errors import MountSilent, Stopping
from ingestd.pipeline.context import Context
from ingestd.service import tick
from ingestd.store import batch

SHARE_OF_PROCESSOR, SHARE_OF_TIME = 0.001, 0.2
"""that it takes: of one core, and, most of it waiting for one operation at a time, of a remote mount"""
GROUP_SECONDS, MAX_GROUP = 1.0, 500
"""for how long, and how many, manifests are read together"""
MIN_PAUSE, BUSY_PAUSE = 1.0, 2.0
SILENCE = 2.0
"""seconds without an answer after which the scanner is to find out whether a manifest hangs"""
CHECK_SECONDS = 10.0


class Compared(NamedTuple):
    """How many manifests had their turn, which of them are not what is recorded, and the processor time of that."""

    turns: int
    changed: Set[str]
    cpu_seconds: float


class Rotation:
    """The known manifests, in the order in which they are read again. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._queue: deque[str] = deque()
        self._size = 1
        self._began_at = -math.inf
        self.present: Set[str] = frozenset()
        """known bundles whose sentinels were listed; replaced as a whole by the scanner"""

    def due_in(self) -> float:
        """Seconds until a manifest may have its turn: rounds through all begin mount.rescan_interval apart."""
        interval = self._context.settings.mount.rescan_interval
        return 0.0 if self._queue else self._began_at + interval - time.monotonic()

    def compare_next(self, on_alive: Callable[[], None] = tick) -> Compared:
        """Reads the next manifests, for GROUP_SECONDS, but at least one. What hangs counts as changed.

        `on_alive()` is called now and then while one takes long.
        """
        group = self._take()
        recorded = recorded_digests(self._context, group)
        certain = [sync_id for sync_id, sha256 in recorded.items() if sha256 is not None]
        found: dict[str, str | None] = {}
        cpu_seconds = self._read(certain, found, on_alive) if certain else 0.0
        unread = certain[len(found) :]
        self._put_back(unread)
        changed = {sync_id for sync_id, sha256 in recorded.items() if sha256 is None or found.get(sync_id) != sha256}
        return Compared(len(group) - len(unread), changed.difference(unread), cpu_seconds)

    def _read(self, sync_ids: list[str], found: dict[str, str | None], on_alive: Callable[[], None]) -> float:
        silence = min(SILENCE, self._context.settings.mount.deadline)
        try:
            return self._context.mount.digest_manifests(sync_ids, found, GROUP_SECONDS, silence, on_alive)
        except MountSilent:
            self._context.mount.check()
            found.update(dict.fromkeys(sync_ids[len(found) :][:1]))
            return 0.0

    def _take(self) -> list[str]:
        """The next group; all have had their turn before the first is read again."""
        present = self.present
        with self._lock:
            if not self._queue:
                self._queue.extend(sorted(present))
                self._began_at = time.monotonic()
            taken = [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]
        return [sync_id for sync_id in taken if sync_id in present]

    def _put_back(self, unread: list[str]) -> None:
        """Those for which there was no time come first the next time; the size of groups follows."""
        with self._lock:
            self._queue.extendleft(reversed(unread))
            self._size = max(1, self._size // 2) if unread else min(2 * self._size, MAX_GROUP)


def recorded_digests(context: Context, sync_ids: Sequence[str]) -> dict[str, str | None]:
    """The digest of each known batch, by sync_id; None where even the same manifest must be recorded again."""
    place, max_future = context.gate.place, context.settings.mount.max_future
    return context.db.read(lambda tx: batch.digests(tx, sync_ids, place, max_future)) if sync_ids else {}


class RotationStep:
    """Gives the rotation its share, in a thread of its own; `on_changed(sync_ids)` has some read and recorded.

    It rests while the scanner `is_busy`, and while manifests hang: those are for the scanner, which probes them first.
    """

    def __init__(
        self,
        context: Context,
        rotation: Rotation,
        is_busy: Callable[[], bool],
        on_changed: Callable[[Set[str]], None],
    ) -> None:
        self._context, self._rotation = context, rotation
        self._is_busy, self._on_changed = is_busy, on_changed
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ends the reading of a manifest that takes long."""
        self._stopping.set()

    def run_once(self) -> float:
        """One group of manifests; returns the seconds until the next."""
        with suppress(Stopping):
            return self._compare()
        return BUSY_PAUSE

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Stopping
        tick()

    def _compare(self) -> float:
        mount = self._context.mount
        if self._is_busy() or mount.prober.is_busy or mount.hung_manifests:
            return BUSY_PAUSE
        if (pause := self._rotation.due_in()) > 0.0:
            return pause
        mount.check_cached(CHECK_SECONDS)
        began = time.monotonic()
        compared = self._rotation.compare_next(self._go_on)
        if compared.changed:
            self._on_changed(compared.changed)
        share = max((time.monotonic() - began) / SHARE_OF_TIME, compared.cpu_seconds / SHARE_OF_PROCESSOR)
        return max(MIN_PAUSE, share)

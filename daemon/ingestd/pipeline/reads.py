"""Reads manifests in threads of their own, so that one whose read hangs or takes long delays no other."""

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue

from ingestd.errors import ManifestIsLong, MountUnavailable
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery


class Lane(Enum):
    """Where a manifest is read.

    SHORT is for all, at first, and AGAIN for those that were read before, which must not delay new ones; LONG for those
    that turn out to be long; APART for those whose read was silent or failed before.
    """

    SHORT = "short"
    AGAIN = "again"
    LONG = "long"
    APART = "apart"


READERS = {Lane.SHORT: 4, Lane.AGAIN: 2, Lane.LONG: 1, Lane.APART: 4}
MAX_QUEUED = 4 * READERS[Lane.SHORT]
FIRST_SILENCE = 2.0
"""seconds of silence after which a reader gives up; the bundle is then read apart, with all of mount.deadline"""
HUNG, SILENCE_BESIDE_HUNG = 4, 0.5
"""with so many manifests that hang, the next silent one is likely to hang as well, and others wait behind it"""


@dataclass(frozen=True, slots=True)
class Task:
    """One manifest to read."""

    sync_id: str
    known_sha256: str | None
    lane: Lane = Lane.SHORT

    def moved(self, lane: Lane) -> "Task":
        return Task(self.sync_id, self.known_sha256, lane)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: a delivery or an error, or that it has to be read in another lane (`next_lane`).

    `is_silent`: the mount answers, but reading this bundle did not.
    """

    task: Task
    delivered: Delivery | None = None
    error: Exception | None = None
    is_silent: bool = False
    next_lane: Lane | None = None


class Reads:
    """Reads queued manifests with a few threads, which end when nothing is queued.

    `submit` and `next` are for one thread. Readers that are slow are replaced, up to as many again, but not those of
    the lane APART.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._queues: dict[Lane, deque[Task]] = {lane: deque() for lane in Lane}
        self._threads = dict.fromkeys(Lane, 0)
        self._pending: dict[str, Task] = {}
        self._slow: set[str] = set()

    def __contains__(self, sync_id: str) -> bool:
        """Whether a bundle is queued or being read."""
        return sync_id in self._pending

    @property
    def pending(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._pending)

    @property
    def is_busy(self) -> bool:
        """Whether something is queued or being read, slow reads excepted."""
        return len(self._pending) > len(self._slow)

    @property
    def needs_round(self) -> bool:
        """Whether there is an outcome to take, or something queued that no thread reads."""
        return not self._outcomes.empty() or any(self._is_unread(lane) for lane in Lane)

    @property
    def room(self) -> int:
        """How many tasks can be submitted now; the rest waits where its order can still change."""
        return max(0, MAX_QUEUED - len(self._queues[Lane.SHORT]))

    def submit(self, task: Task) -> None:
        with self._lock:
            self._pending[task.sync_id] = task
            self._queues[task.lane].append(task)
        self._start_reader(task.lane)

    def next(self, seconds: float) -> Outcome | None:
        """The next outcome; None if there is none in time. Raises MountUnavailable if there cannot be one."""
        for lane in Lane:
            if self._is_unread(lane) and not self._start_reader(lane):
                raise MountUnavailable("no thread can be started to read manifests; look at the limits of this process")
        try:
            outcome = self._outcomes.get(timeout=seconds) if seconds else self._outcomes.get_nowait()
        except Empty:
            return None
        with self._lock:
            self._pending.pop(outcome.task.sync_id, None)
            self._slow.discard(outcome.task.sync_id)
        return outcome

    def note_slow(self) -> None:
        """Takes all that is being read for slow: other bundles no longer wait for it."""
        with self._lock:
            self._slow = set(self._pending)

    def wait_for_slow(self) -> None:
        """Takes nothing for slow any more."""
        with self._lock:
            self._slow.clear()

    def _is_unread(self, lane: Lane) -> bool:
        with self._lock:
            return bool(self._queues[lane]) and not self._threads[lane]

    def _start_reader(self, lane: Lane) -> bool:
        """Starts one more reader, if there may be more; False if that fails, so that those that run read everything."""
        with self._lock:
            if self._threads[lane] >= self._limit(lane):
                return True
            self._threads[lane] += 1
        try:
            threading.Thread(target=self._work, args=(lane,), name="manifest-reader", daemon=True).start()
        except (RuntimeError, MemoryError):
            with self._lock:
                self._threads[lane] -= 1
            return False
        return True

    def _limit(self, lane: Lane) -> int:
        slow = sum(self._pending[sync_id].lane is lane for sync_id in self._slow)
        readers = READERS[lane]
        return readers if lane is Lane.APART else readers + min(slow, readers)

    def _work(self, lane: Lane) -> None:
        while (task := self._take(lane)) is not None:
            self._outcomes.put(self._read(task))

    def _take(self, lane: Lane) -> Task | None:
        with self._lock:
            if self._queues[lane]:
                return self._queues[lane].popleft()
            self._threads[lane] -= 1
            return None

    def _read(self, task: Task) -> Outcome:
        try:
            return Outcome(task, self._delivered(task, self._deadline(task)))
        except ManifestIsLong:
            return Outcome(task, next_lane=Lane.LONG)
        except MountUnavailable as error:
            return self._blame(task, error)
        except Exception as error:  # noqa: BLE001  the scanner handles it: it concerns one bundle
            return Outcome(task, error=error)

    def _deadline(self, task: Task) -> float:
        longest = self._context.settings.mount.deadline
        if task.lane is Lane.APART:
            return longest
        return min(FIRST_SILENCE if self._context.mount.hung_manifests < HUNG else SILENCE_BESIDE_HUNG, longest)

    def _delivered(self, task: Task, deadline: float) -> Delivery:
        only_short = task.lane in (Lane.SHORT, Lane.AGAIN)
        return delivery.read(self._context, task.sync_id, task.known_sha256, deadline=deadline, only_short=only_short)

    def _blame(self, task: Task, error: MountUnavailable) -> Outcome:
        """A read without an answer says nothing about the mount if the mount itself answers."""
        try:
            self._context.mount.check()
        except Exception as outage:  # noqa: BLE001  a task must not be lost with its thread
            return Outcome(task, error=outage)
        may_hang = task.lane is Lane.APART or self._context.mount.has_many_hung
        return Outcome(task, error=error, is_silent=True, next_lane=None if may_hang else Lane.APART)

"""Reads manifests in threads of their own, so that one whose read hangs or takes long delays no other."""

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from ingestd.errors import ManifestIsLong, ManifestTakesLong, MountUnavailable, Shortage
from ingestd.mount.manifest_exchange import ManifestExchange
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.lanes import Lane, Outcome, Task
from ingestd.pipeline.probing import Probing

READERS = {Lane.SHORT: 4, Lane.AGAIN: 2, Lane.LONG: 1, Lane.APART: 8, Lane.PROBE: 1, Lane.SLOW: 4, Lane.HUGE: 1}
FAR_READERS = 12
"""for SHORT on a remote mount, where a manifest takes several round trips"""
REPLACED = (Lane.SHORT, Lane.AGAIN)
"""lanes whose readers are replaced while they are slow, by up to as many again"""
MAX_QUEUED, MAX_TOGETHER = 32, 8
"""manifests that wait for a reader or to be recorded; those that are read with one request"""
FIRST_SILENCE = 2.0
"""seconds of silence after which a reader gives up; the bundle is then read apart, with all of mount.deadline"""
SECONDS_ALIVE = 2.0
"""seconds that a read may take beyond its first silence, until it goes on where all take long"""
OLDEST_EACH = 4
"""of so many long manifests that are read, one is the oldest, and the others are the shortest"""
PROBE_AFTER_SILENCE = 60.0
"""seconds for which manifests are probed after a read was silent, and read one by one after one took long"""


class Reads:
    """Reads queued manifests with a few threads, which end when nothing is queued.

    `submit` and `next` are for one thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._queues: dict[Lane, deque[Task]] = {lane: deque() for lane in Lane}
        self._threads = dict.fromkeys(Lane, 0)
        self._pending: dict[str, Task] = {}
        self._slow: set[str] = set()
        self._probe_until = self._alone_until = -math.inf
        self._long_taken = 0
        self._probed_now = 0
        """probes that began a moment ago"""

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
        """How many tasks can be submitted now; the rest waits where its order can still change.

        What was read counts, too, until it is recorded: reading must not get ahead of a slow database. So does what is
        probed, until it is clear that it does not answer at once.
        """
        with self._lock:
            fresh = len(self._queues[Lane.PROBE]) + self._probed_now
            return max(0, MAX_QUEUED - len(self._queues[Lane.SHORT]) - fresh - self._outcomes.qsize())

    def queued(self, lane: Lane) -> int:
        """How many tasks wait for a reader of a lane."""
        return len(self._queues[lane])

    def submit(self, tasks: Sequence[Task]) -> None:
        with self._lock:
            for task in tasks:
                self._pending[task.sync_id] = task
                self._queues[task.lane].append(task)
        for task in tasks:
            self._start_reader(task.lane)

    def next(self, seconds: float, limit: int) -> list[Outcome]:
        """The next outcomes, as many as there are; none if there is none in time.

        Raises Shortage if there cannot be one.
        """
        for lane in Lane:
            if self._is_unread(lane) and not self._start_reader(lane):
                raise Shortage("no thread can be started to read manifests; look at the limits of this process")
        found: list[Outcome] = []
        with suppress(Empty):
            found.append(self._outcomes.get(timeout=seconds) if seconds else self._outcomes.get_nowait())
            while len(found) < limit:
                found.append(self._outcomes.get_nowait())
        with self._lock:
            for outcome in found:
                self._pending.pop(outcome.task.sync_id, None)
                self._slow.discard(outcome.task.sync_id)
        return found

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
            if not self._queues[lane] or self._threads[lane] >= self._limit(lane):
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
        is_far = lane is Lane.SHORT and self._context.mount.is_remote
        readers = FAR_READERS if is_far else READERS[lane]
        return readers + min(slow, readers) if lane in REPLACED else readers

    def _work(self, lane: Lane) -> None:
        if lane is Lane.PROBE:
            self._work_probes()
            return
        while tasks := self._take(lane):
            self._read_all(tasks)

    def _take(self, lane: Lane) -> deque[Task]:
        """What a reader reads next; nothing, and it ends, when nothing is queued."""
        with self._lock:
            queue = self._queues[lane]
            if queue and lane is Lane.LONG:
                return deque([self._take_long()])
            tasks = deque(queue.popleft() for _ in range(self._share(lane)))
            self._threads[lane] -= not tasks
            return tasks

    def _share(self, lane: Lane) -> int:
        """How many queued manifests one reader reads with one request, so that all readers have the same number."""
        queued = len(self._queues[lane])
        is_together = lane is Lane.SHORT and time.monotonic() >= self._alone_until and not self._may_hang()
        return min(math.ceil(queued / self._limit(lane)), MAX_TOGETHER) if is_together else min(queued, 1)

    def _read_all(self, tasks: deque[Task]) -> None:
        """Reads some manifests. Those behind one that takes long are left to other readers: each alone, for a while."""

        def leave() -> None:
            self._alone_until = time.monotonic() + PROBE_AFTER_SILENCE
            while tasks:
                self._outcomes.put(Outcome(task := tasks.popleft(), next_task=task))

        wanted = [(task.sync_id, task.known_sha256) for task in tasks]
        together = self._context.mount.request_manifests(wanted, leave) if len(tasks) > 1 else None
        while tasks:
            self._outcomes.put(self._read(tasks.popleft(), together))
        if together is not None:
            together.close()

    def _take_long(self) -> Task:
        """The shortest of the long ones, or in between the oldest."""
        queue = self._queues[Lane.LONG]
        self._long_taken += 1
        task = queue[0] if self._long_taken % OLDEST_EACH == 0 else min(queue, key=lambda task: task.size)
        queue.remove(task)
        return task

    def _work_probes(self) -> None:
        """Sends on what probes have found out, until nothing is left to wait for."""
        probing = Probing(self._context)
        while self._begin_probes(probing):
            for outcome in probing.wait():
                self._outcomes.put(outcome)

    def _begin_probes(self, probing: Probing) -> bool:
        """Begins all probes that are queued; False, and the thread ends, when nothing is left to wait for."""
        with self._lock:
            queue = self._queues[Lane.PROBE]
            tasks = [queue.popleft() for _ in range(len(queue))]
            self._probed_now = probing.fresh + len(tasks)
            if not tasks and not probing.is_busy:
                self._threads[Lane.PROBE] -= 1
                return False
        probing.begin(tasks)
        return True

    def _needs_probe(self, task: Task) -> bool:
        """Whether a manifest may hang like others, and has not shown yet that it does not."""
        return task.probed_for is None and not task.turn and task.lane is not Lane.LONG and self._may_hang()

    def _may_hang(self) -> bool:
        """Whether manifests hang, or did lately."""
        mount = self._context.mount
        return time.monotonic() < self._probe_until or mount.prober.is_busy or mount.hung_manifests > 0

    def _read(self, task: Task, together: ManifestExchange | None = None) -> Outcome:
        if self._needs_probe(task):
            return Outcome(task, next_task=task.moved(Lane.PROBE))
        try:
            return Outcome(task, self._delivered(task, self._deadline(task), together))
        except ManifestIsLong as long:
            return Outcome(task, next_task=replace(task, lane=Lane.LONG, size=long.size, turn=0.0))
        except ManifestTakesLong:
            return Outcome(task, next_task=task.in_turn())
        except Shortage as error:
            return Outcome(task, error=error)
        except MountUnavailable as error:
            return self._blame(task, error)
        except Exception as error:  # noqa: BLE001  the scanner handles it: it concerns one bundle
            return Outcome(task, error=error)

    def _deadline(self, task: Task) -> float:
        longest = self._context.settings.mount.deadline
        return longest if task.turn or task.lane is Lane.APART else min(FIRST_SILENCE, longest)

    def _delivered(self, task: Task, deadline: float, together: ManifestExchange | None) -> Delivery:
        end = time.monotonic() + (task.turn or deadline + SECONDS_ALIVE)

        def require_time() -> None:
            if time.monotonic() >= end:
                raise ManifestTakesLong(task.sync_id)

        only_short = task.lane in (Lane.SHORT, Lane.AGAIN, Lane.SLOW)
        return delivery.read(
            self._context,
            task.sync_id,
            task.known_sha256,
            on_alive=require_time,
            deadline=deadline,
            only_short=only_short,
            as_listed=True,
            is_probed=True,  # by its lane, where manifests may hang
            within=together,
        )

    def _blame(self, task: Task, error: MountUnavailable) -> Outcome:
        """A read without an answer says nothing about the mount if the mount itself answers."""
        self._probe_until = time.monotonic() + PROBE_AFTER_SILENCE
        try:
            self._context.mount.check()
        except Exception as outage:  # noqa: BLE001  a task must not be lost with its thread
            return Outcome(task, error=outage)
        may_hang = task.turn or task.lane is Lane.APART
        return Outcome(task, error=error, is_silent=True, next_task=None if may_hang else task.moved(Lane.APART))

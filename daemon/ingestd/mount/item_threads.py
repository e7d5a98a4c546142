"""Reading items in threads, in a mount helper: one whose read hangs costs its thread, and delays no other."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ingestd.errors import Shortage
from ingestd.model import Reason
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.window import WindowFull
from ingestd.mount.wire import LATE_SECONDS
from ingestd.shortage import shortage_of

MAX_HANGING = 16
"""threads that may hang in one helper; contrib/systemd/ingestd.service bounds their sum with all else"""
LOOK_SECONDS = 0.5


class _Thread(threading.Thread):
    """A thread, the item that it reads, and when it took its last step (monotonic seconds)."""

    def __init__(self, work: Callable[["_Thread"], None]) -> None:
        super().__init__(target=work, args=(self,), daemon=True)
        self.item: ItemRequest | None = None
        self.stepped_at = 0.0
        self.hangs = False


class ItemThreads:
    """Reads some items with `count` threads; `each` gives their readings in order.

    `read(item)` is called in a thread, and calls `step` whenever it comes further. A thread without a step for
    `silence` seconds hangs: another one takes its place, and the reading of its item is a problem that may pass. Once
    MAX_HANGING of them hang, the items that are left are not read.
    """

    def __init__(
        self, items: Sequence[ItemRequest], read: Callable[[ItemRequest], Reading], count: int, silence: float
    ) -> None:
        self._items, self._read, self._silence = items, read, silence
        self._next = 0
        """the index of the item that is taken next"""
        self._awaited: ItemRequest | None = None
        self._changed = threading.Condition()
        self._found: dict[int, Reading | Exception] = {}
        self._threads = [_Thread(self._work) for _ in range(min(count, len(items)))]
        self._may_begin = threading.Event()

    @property
    def hanging(self) -> list[int]:
        """Ordinals of the items whose reads hang."""
        return [thread.item.ordinal for thread in self._threads if thread.hangs and thread.item is not None]

    def step(self) -> None:
        """Notes that the calling thread comes further."""
        thread = threading.current_thread()
        if isinstance(thread, _Thread):
            thread.stepped_at = time.monotonic()

    def each(self) -> Iterator[Reading]:
        """The readings, in order, of all items or of the first. Raises what `read` raises."""
        self._start()
        try:
            for index, item in enumerate(self._items):
                found = self._wait_for(index, item)
                if found is None:
                    return
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            self._end()

    def _start(self) -> None:
        """Starts the threads. Once items take memory, too little of that would look like too few threads."""
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._next = len(self._items)
            raise
        finally:
            self._may_begin.set()

    def _wait_for(self, index: int, item: ItemRequest) -> Reading | Exception | None:
        """What was found of an item; None if no thread is left for it."""
        with self._changed:
            self._awaited = item
            while item.ordinal not in self._found:
                if index >= self._next and not self._can_go_on():
                    return None
                self._wait()
            return self._found.pop(item.ordinal)

    def _can_go_on(self) -> bool:
        return any(thread.is_alive() and not thread.hangs for thread in self._threads)

    def _wait(self) -> None:
        """Waits for a thread, and looks for those that hang. Time in which this process was paused is not silence."""
        seconds, began = min(LOOK_SECONDS, self._silence / 4), time.monotonic()
        self._changed.wait(seconds)
        if (late := time.monotonic() - began - seconds) > LATE_SECONDS:
            for thread in self._threads:
                thread.stepped_at += late
        self._replace_hanging()

    def _replace_hanging(self) -> None:
        now = time.monotonic()
        for thread in list(self._threads):
            if thread.item is not None and not thread.hangs and now - thread.stepped_at > self._silence:
                thread.hangs = True
                self._found[thread.item.ordinal] = _silent(thread.item, self._silence)
                self._add_thread()

    def _add_thread(self) -> None:
        if self._next < len(self._items) and len(self.hanging) < MAX_HANGING:
            thread = _Thread(self._work)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                return  # the others go on
            self._threads.append(thread)

    def _end(self) -> None:
        """Waits for the threads that do not hang: what they hold must not add up with the next request's."""
        with self._changed:
            self._next, self._awaited = len(self._items), None
            while any(thread.item is not None and not thread.hangs for thread in self._threads):
                self._wait()

    def _work(self, thread: _Thread) -> None:
        self._may_begin.wait()
        while self._take(thread):
            assert thread.item is not None
            found = self._outcome(thread.item)
            with self._changed:
                item, thread.item = thread.item, None
                if thread.hangs:  # another one took its place
                    thread.hangs = False
                    return
                self._found[item.ordinal] = found
                if self._awaited is None or item is self._awaited:
                    self._changed.notify()

    def _take(self, thread: _Thread) -> bool:
        with self._changed:
            thread.stepped_at = time.monotonic()
            thread.item = None
            if self._next < len(self._items):
                thread.item, self._next = self._items[self._next], self._next + 1
            return thread.item is not None

    def _outcome(self, item: ItemRequest) -> Reading | Exception:
        try:
            return self._read(item)
        except (WindowFull, Shortage) as error:
            return error
        except Exception as error:  # noqa: BLE001  raised by `each`
            return shortage_of(error) or error


def _silent(item: ItemRequest, seconds: float) -> Reading:
    problem = f"{item.path}: the mount does not answer: nothing was read of it for {seconds:g} seconds"
    return Reading(item.ordinal, reason=Reason.FILE_UNREADABLE, problem=problem, transient=True, unforeseen=True)

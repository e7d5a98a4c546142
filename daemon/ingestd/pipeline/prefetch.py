"""Prepares the next part in a thread while the caller works on the current one."""

import _thread
import threading
from collections.abc import Generator
from contextlib import closing
from contextvars import copy_context
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ingestd.errors import Shortage

T = TypeVar("T")

START_SECONDS, LOOK_SECONDS = 10.0, 1.0


def prefetch(parts: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yields what `parts` yields, and closes it; the next part is prepared meanwhile, in a thread of its own.

    An error of `parts` is raised in its place. Raises Shortage if there is no thread, or too little memory for it.
    """
    ahead = _Ahead(parts)
    try:
        ahead.start()
        while part := ahead.take():
            yield part[0]
    finally:
        ahead.end()


class _Ahead(Generic[T]):
    """A thread that prepares one part ahead.

    Not a thread of Python's pools: where memory runs out while one of those begins, its caller waits without end, and
    keeps all other pools of the process from starting theirs.
    """

    def __init__(self, parts: Generator[T, None, None]) -> None:
        self._parts = parts
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._ready: SimpleQueue[list[T] | BaseException] = SimpleQueue()
        self._begun = threading.Event()
        self._alive = _thread.allocate_lock()
        self._is_over = False

    def start(self) -> None:
        """Starts the thread, which prepares the first part. Raises Shortage if it does not begin in time."""
        self._wanted.put(True)
        try:
            # A new thread does not inherit the context, and with it the keys of log lines.
            _thread.start_new_thread(copy_context().run, (self._work,))
        except RuntimeError as error:
            raise Shortage(f"nothing is read ahead: {error}") from error
        if not self._begun.wait(START_SECONDS):
            raise Shortage("nothing is read ahead: a new thread does not begin")

    def take(self) -> list[T]:
        """The part that was prepared, in a list, while the next one is begun; an empty list at the end."""
        while True:
            try:
                found = self._ready.get(timeout=LOOK_SECONDS)
                break
            except Empty:
                if not self._alive.locked():
                    raise Shortage("the thread that reads ahead ended without a word") from None
        if isinstance(found, BaseException):
            raise found
        self._wanted.put(True)
        return found

    def end(self) -> None:
        """Waits until the thread has prepared its current part; one that has not begun does nothing any more."""
        self._is_over = True
        self._wanted.put(False)
        with self._alive:
            pass

    def _work(self) -> None:
        with self._alive:
            if self._is_over:  # it begins too late
                return
            threading.current_thread().name = "prefetch_0"
            self._begun.set()
            with closing(self._parts):
                self._prepare()

    def _prepare(self) -> None:
        while self._wanted.get():
            try:
                part = list(islice(self._parts, 1))
            except BaseException as error:  # noqa: BLE001  raised by `take`
                self._ready.put(error)
                return
            self._ready.put(part)
            if not part:
                return
            del part  # it may be large, and is the caller's now

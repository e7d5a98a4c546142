"""Threads that read items: one that hangs costs its thread, and keeps no other item from being read."""

import threading
from collections.abc import Callable, Iterator

import pytest

from ingestd.mount import item_threads
from ingestd.mount.item_threads import ItemThreads
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.window import WindowFull
from support.scarce import limit_threads
from support.wait import until

SOON, LATE = 0.05, 60.0


class Mount:
    """Items, some of which hang until `answer` is set."""

    def __init__(self, count: int, hanging: set[int], on_read: Callable[[int], None] = lambda _ordinal: None) -> None:
        self.items = [ItemRequest(ordinal, f"photo/{ordinal}", ()) for ordinal in range(count)]
        self.hanging, self.answer, self._on_read = hanging, threading.Event(), on_read

    def read(self, item: ItemRequest) -> Reading:
        if item.ordinal in self.hanging:
            assert self.answer.wait(LATE)
        self._on_read(item.ordinal)
        return Reading(item.ordinal)

    def threads(self, count: int = 2, silence: float = SOON) -> ItemThreads:
        return ItemThreads(self.items, self.read, count, silence)


@pytest.fixture
def made() -> Iterator[list[Mount]]:
    mounts: list[Mount] = []
    yield mounts
    for mount in mounts:
        mount.answer.set()


def make(made: list[Mount], count: int, hanging: set[int]) -> Mount:
    made.append(Mount(count, hanging))
    return made[-1]


def found(threads: ItemThreads) -> tuple[list[int], list[int]]:
    """The ordinals with a reading, and those of them with a problem."""
    readings = list(threads.each())
    return [one.ordinal for one in readings], [one.ordinal for one in readings if one.problem]


@pytest.mark.parametrize("hanging", [set(), {0}, {19}, {0, 1}, {0, 1, 2, 3}, {3, 9, 10, 19}, set(range(15))], ids=len)
@pytest.mark.parametrize("count", [1, 2, 16])
def test_all_items_but_those_that_hang_are_read(made: list[Mount], hanging: set[int], count: int) -> None:
    threads = make(made, 20, hanging).threads(count)
    assert found(threads) == (list(range(20)), sorted(hanging))
    assert sorted(threads.hanging) == sorted(hanging)


def test_the_problem_may_pass_and_is_about_its_item_only_if_that_was_alone(made: list[Mount]) -> None:
    reading = list(make(made, 3, {1}).threads().each())[1]
    assert (reading.transient, reading.unforeseen, reading.absent) == (True, True, False)
    assert reading.problem == "photo/1: the mount does not answer: nothing was read of it for 0.05 seconds"


def test_with_too_many_that_hang_the_rest_is_not_read(made: list[Mount], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_threads, "MAX_HANGING", 4)
    threads = make(made, 20, set(range(2, 20))).threads(2)
    read, silent = found(threads)
    assert read == [0, 1, *silent]
    assert silent == sorted(threads.hanging)
    assert len(silent) in (4, 5), "both threads may begin to hang before either is seen to"


def test_one_that_takes_steps_does_not_hang(made: list[Mount]) -> None:
    steps = threading.Semaphore(0)
    mount = Mount(2, set(), on_read=lambda ordinal: read_in_steps() if ordinal == 0 else None)
    made.append(mount)
    threads = mount.threads(1, silence=0.3)

    def read_in_steps() -> None:
        for _ in range(20):
            steps.acquire(timeout=0.05)  # the length of one step; never released
            threads.step()

    assert found(threads) == ([0, 1], [])


def test_one_that_answers_late_is_not_hanging_any_more(made: list[Mount]) -> None:
    mount = make(made, 3, {0})
    threads = mount.threads()
    readings = threads.each()
    assert next(readings).problem
    assert threads.hanging == [0]
    mount.answer.set()
    assert [one.ordinal for one in readings] == [1, 2]
    until(lambda: not threads.hanging)


@pytest.mark.parametrize("error", [WindowFull(), LookupError("surprise")], ids=type)
def test_an_error_of_an_item_is_raised_in_its_place(made: list[Mount], error: Exception) -> None:
    def fail(ordinal: int) -> None:
        if ordinal == 3:
            raise error

    mount = Mount(20, {5}, fail)
    made.append(mount)
    threads = mount.threads()
    read: list[int] = []
    with pytest.raises(type(error)):
        read.extend(one.ordinal for one in threads.each())
    assert threads.hanging in ([], [5])


def test_without_threads_nothing_is_read(made: list[Mount], monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make(made, 3, set())
    limit_threads(monkeypatch).append(1)
    with pytest.raises(RuntimeError):
        list(mount.threads().each())

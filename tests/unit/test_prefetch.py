"""The next part is prepared in a thread while the caller works on the current one."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import pytest

from ingestd.errors import Shortage
from ingestd.pipeline import prefetch as module
from ingestd.pipeline.prefetch import prefetch


def numbers(count: int, seen: list[int]) -> Generator[int, None, None]:
    for number in range(count):
        seen.append(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_it_yields_all_parts_in_order(count: int) -> None:
    assert list(prefetch(numbers(count, []))) == list(range(count))


def test_an_error_comes_in_its_place() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise LookupError("surprise")

    parts = prefetch(failing())
    assert next(parts) == 1
    with pytest.raises(LookupError, match="surprise"):
        next(parts)


def test_it_is_one_part_ahead_and_ends_when_it_is_closed() -> None:
    seen: list[int] = []
    with closing(prefetch(numbers(50, seen))) as parts:
        assert next(parts) == 0
    assert seen in ([0], [0, 1])


def refuse(*_arguments: Any) -> None:
    raise RuntimeError("can't start new thread")


def lose(*_arguments: Any) -> None:
    """As a thread that begins without memory: it ends before it runs anything of ours."""


@pytest.mark.parametrize("start", [refuse, lose])
def test_a_thread_that_does_not_begin_is_a_shortage(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., None]
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.01)
    monkeypatch.setattr("_thread.start_new_thread", start)
    with pytest.raises(Shortage):
        next(prefetch(numbers(3, [])))


def test_a_thread_that_ends_without_a_part_is_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module._Ahead, "_work", lambda self: self._begun.set())
    with pytest.raises(Shortage):
        next(prefetch(numbers(3, [])))


def test_one_within_another_ends_with_it() -> None:
    """Each closes what it prepares, in its own thread."""
    closed: list[str] = []

    def parts() -> Generator[int, None, None]:
        try:
            yield from range(50)
        finally:
            closed.append(threading.current_thread().name)

    def doubled() -> Generator[int, None, None]:
        with closing(prefetch(parts())) as found:
            for number in found:
                yield 2 * number

    with closing(prefetch(doubled())) as outer:
        assert [next(outer), next(outer)] == [0, 2]
    assert closed == ["prefetch_0"]

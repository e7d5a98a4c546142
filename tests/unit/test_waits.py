"""Which bundles are read again first, on a simulated clock."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ingestd.pipeline import settling
from ingestd.pipeline.settling import Settling, Waits

MAX_PAUSE = 15.0


@dataclass
class Clock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(settling, "time", made)
    return made


def waited_for_long(waits: Waits, clock: Clock, count: int) -> set[str]:
    """So many bundles, each with its longest pause behind it."""
    old = {f"old {number}" for number in range(count)}
    for _ in range(8):
        for sync_id in old:
            waits.postpone(sync_id)
        clock.now += MAX_PAUSE
    return old


@pytest.mark.parametrize("make", [lambda: Waits(0.2, MAX_PAUSE), lambda: Settling(300.0)])
def test_a_fresh_one_comes_before_thousands_that_were_waited_for_in_vain(
    clock: Clock, make: Callable[[], Waits]
) -> None:
    waits = make()
    old = waited_for_long(waits, clock, 3000)
    waits.postpone("fresh")
    clock.now += 0.2
    first = waits.due(64)
    assert first[0] == "fresh"
    assert set(first[1:]) < old


def test_old_ones_have_their_turns_while_fresh_ones_come_all_the_time(clock: Clock) -> None:
    waits = Waits(0.2, MAX_PAUSE)
    old = waited_for_long(waits, clock, 100)
    turns: set[str] = set()
    for number in range(40):
        for fresh in range(64):
            waits.postpone(f"fresh {number} {fresh}")
        clock.now += 0.25
        found = waits.due(64)
        turns |= old & set(found)
        assert sum(name.startswith(f"fresh {number} ") for name in found) >= 30
    assert turns == old


def test_a_fresh_one_comes_before_thousands_that_came_at_once(clock: Clock) -> None:
    waits = Waits(0.2, MAX_PAUSE)
    for number in range(3000):
        waits.postpone(f"one of many {number}")
    clock.now += 10.0
    waits.postpone("fresh")
    for pause in (0.2, 0.4, 0.8):
        clock.now += pause
        assert waits.due(64)[0] == "fresh"
        waits.postpone("fresh")


def test_each_of_them_has_its_turn(clock: Clock) -> None:
    waits = Waits(0.2, MAX_PAUSE)
    old = waited_for_long(waits, clock, 1000)
    turns: set[str] = set()
    while found := waits.due(64):
        assert len(set(found)) == len(found)
        assert turns.isdisjoint(found)
        turns |= set(found)
    assert turns == old
    assert waits.next_retry_at() == clock.now + MAX_PAUSE


def test_one_whose_file_changed_comes_first(clock: Clock) -> None:
    waits = Waits(0.2, MAX_PAUSE)
    old = waited_for_long(waits, clock, 100)
    assert "old 7" in old
    waits.postpone("old 7")
    waits.hasten("old 7")
    clock.now += settling.HASTE
    assert waits.due(1) == ["old 7"], "all others are due for longer"


def test_what_is_due_and_ended_or_postponed_is_left_out(clock: Clock) -> None:
    waits = Waits(0.2, MAX_PAUSE)
    for sync_id in ("a", "b", "c"):
        waits.add(sync_id)
    assert waits.due(1) == ["a"]
    assert waits.next_retry_at() <= clock.now
    waits.end("b")
    waits.postpone("c")
    assert waits.due(3) == []
    assert waits.next_retry_at() == clock.now + 0.2

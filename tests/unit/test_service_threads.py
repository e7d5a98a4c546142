"""A service in a real thread: started, stopped, woken, and restarted after its death."""

import threading

import pytest

from ingestd.service import Service
from support.wait import PATIENCE, until

# with real threads


def test_it_runs_at_once_and_stops() -> None:
    rounds: list[str] = []
    made = Service("worker", lambda: rounds.append(threading.current_thread().name) or 3600.0)  # type: ignore[func-returns-value]
    assert not made.is_alive()
    made.start()
    until(lambda: rounds)
    assert made.is_alive()
    made.stop()
    assert made.stopping
    assert made.join(PATIENCE)
    assert not made.is_alive()
    assert rounds == ["worker"]


def test_start_and_stop_twice() -> None:
    threads: set[int] = set()
    made = Service("worker", lambda: threads.add(threading.get_ident()) or 3600.0)  # type: ignore[func-returns-value]
    for _ in range(2):
        made.start()
    until(lambda: threads)
    for _ in range(2):
        made.stop()
        assert made.join(PATIENCE)
    assert len(threads) == 1


def test_stop_before_start() -> None:
    made = Service("worker", lambda: 0.0)
    made.stop()
    assert made.join()


def test_a_wake_up_ends_the_sleep() -> None:
    rounds = threading.Semaphore(0)
    made = Service("worker", lambda: rounds.release() or 3600.0)  # type: ignore[func-returns-value]
    made.start()
    for _ in range(3):
        assert rounds.acquire(timeout=PATIENCE)
        made.wake()
    made.stop()
    assert made.join(PATIENCE)


def test_join_says_when_it_still_runs() -> None:
    entered, leave = threading.Event(), threading.Event()

    def step() -> float:
        entered.set()
        leave.wait(PATIENCE)
        return 3600.0

    made = Service("worker", step)
    made.start()
    assert entered.wait(PATIENCE)
    made.stop()
    assert not made.join(0.0)
    leave.set()
    assert made.join(PATIENCE)


# the end of a thread


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> tuple[Service, list[str]]:
    """A service whose thread dies in its first round, and what happened."""
    happened: list[str] = []

    def step() -> float:
        happened.append("round")
        if happened.count("round") == 1:
            raise KeyboardInterrupt
        return 3600.0

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    return Service("worker", step, finally_do=lambda: happened.append("end")), happened


def test_a_dead_thread_is_started_again(mortal: tuple[Service, list[str]]) -> None:
    made, happened = mortal
    made.start()
    assert made.join(PATIENCE)
    assert happened == ["round", "end"]
    assert made.restart_if_dead()
    until(lambda: happened.count("round") == 2)
    assert not made.restart_if_dead(), "it is alive"
    made.stop()
    assert made.join(PATIENCE)
    assert not made.restart_if_dead(), "it was asked to end"
    assert happened == ["round", "end", "round", "end"]


def test_what_never_started_and_what_was_stopped_is_not_dead(mortal: tuple[Service, list[str]]) -> None:
    made, happened = mortal
    assert not made.restart_if_dead()
    assert happened == []
    made.start()
    made.join(PATIENCE)
    made.stop()
    assert not made.restart_if_dead()
    assert not made.is_alive()

"""A service: rounds, sleeps, wake-ups, outages and crashes, on a clock that advances only while the service waits."""

import errno
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ingestd import service
from ingestd.errors import DatabaseUnavailable, IngestdError, MountUnavailable, Shortage
from ingestd.service import Service
from support.wait import PATIENCE


class Clock:
    """Simulated time, and every wait that made it pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def event(self) -> "Event":
        return Event(self)


class Event:
    """A threading.Event whose waits take no time, but let the simulated time pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._set = clock, False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        if not self._set and seconds:
            self._clock.waits.append(seconds)
            self._clock.now += seconds
        return self._set


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **values: self.lines.append((level, event, values))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(service, "threading", SimpleNamespace(Thread=threading.Thread, Event=made.event))
    return made


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(service, "log", made)
    return made


def run(outcomes: list[float | Exception], **options: Any) -> Service:
    """A service whose rounds end like this, one after another; returns it when it stopped after the last."""
    left = list(outcomes)

    def step() -> float:
        outcome = left.pop(0)
        if not left:
            made.stop()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    made = Service("worker", step, **options)
    made.start()
    assert made.join(PATIENCE)
    assert not left
    return made


# in simulated time


def test_it_sleeps_as_long_as_the_step_asks_for(clock: Clock) -> None:
    made = run([5.0, 0.0, 7.0, 9.0])
    assert clock.waits == [5.0, 7.0]
    assert made.ticked_at == 1012.0


def test_a_wake_up_during_a_round_makes_the_next_one_follow_at_once(clock: Clock) -> None:
    rounds: list[float] = []

    def step() -> float:
        rounds.append(clock.now)
        made.wake() if len(rounds) == 1 else made.stop()
        return 3600.0

    made = Service("worker", step)
    made.start()
    assert made.join(PATIENCE)
    assert rounds == [1000.0, 1000.0]


def test_rounds_keep_their_distance_even_when_woken_all_the_time(clock: Clock) -> None:
    rounds: list[float] = []

    def step() -> float:
        rounds.append(clock.now)
        made.wake()
        if len(rounds) == 3:
            made.stop()
        return 3600.0

    made = Service("worker", step, min_gap=2.0)
    made.start()
    assert made.join(PATIENCE)
    assert rounds == [1000.0, 1002.0, 1004.0]


def test_an_outage_is_waited_out_ever_longer(clock: Clock, log: Log) -> None:
    run([*(DatabaseUnavailable("away") for _ in range(8)), 1.0])
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]


@pytest.mark.parametrize("outage", [DatabaseUnavailable("the database is away"), MountUnavailable("no mount")])
def test_an_outage_is_said_once_a_minute_and_its_end_once(clock: Clock, log: Log, outage: IngestdError) -> None:
    run([*[outage] * 19, 100.0, 1.0])
    # Notices at 0 and, with rounds at 0.5, 1.5, 3.5, 7.5, 11.5 … 59.5 and 63.5 seconds, at 63.5.
    assert log.lines == [
        ("warning", "waiting", {"service": "worker", "reason": str(outage)}),
        ("warning", "waiting", {"service": "worker", "reason": str(outage)}),
        ("info", "service_recovered", {"service": "worker"}),
    ]


def test_every_outage_starts_with_the_shortest_delay(clock: Clock, log: Log) -> None:
    run([DatabaseUnavailable("1"), DatabaseUnavailable("2"), 3.0, DatabaseUnavailable("3"), 1.0])
    assert clock.waits == [0.5, 1.0, 3.0, 0.5]
    assert log.events == ["waiting", "service_recovered", "waiting", "service_recovered"]


def test_rounds_in_an_outage_are_rounds(clock: Clock, log: Log) -> None:
    ticks: list[float] = []

    def step() -> float:
        ticks.append(made.ticked_at)
        if len(ticks) == 3:
            made.stop()
        raise DatabaseUnavailable("away")

    made = Service("worker", step)
    clock.now = 2000.0
    made.start()
    assert made.join(PATIENCE)
    assert ticks == [1000.0, 2000.0, 2000.5]


@pytest.mark.parametrize("surprise", [RuntimeError("oh"), IngestdError("oh")])
def test_a_surprise_is_logged_and_the_step_tried_again(clock: Clock, log: Log, surprise: Exception) -> None:
    run([surprise, surprise, 5.0])
    assert clock.waits == [1.0, 1.0]
    assert log.lines == [("exception", "service_failed", {"service": "worker"})] * 2


# the end of a thread


def test_what_belongs_to_the_thread_is_closed_in_it_at_its_end(clock: Clock) -> None:
    ended: list[threading.Thread] = []
    run([0.0, 0.0], finally_do=lambda: ended.append(threading.current_thread()))
    assert [thread.name for thread in ended] == ["worker"]


# signs of life


def test_a_round_is_silent_since_its_last_tick_and_a_sleep_since_its_end(clock: Clock) -> None:
    seen: list[float] = []

    def step() -> float:
        clock.now += 7.0
        seen.append(made.silent_for())
        service.tick()
        seen.append(made.silent_for())
        clock.now += 2.0
        seen.append(made.silent_for())
        if len(seen) > 3:
            made.stop()
            seen.append(made.silent_for())
        return 100.0

    made = Service("worker", step)
    assert made.silent_for() == 0.0, "it never started"
    clock.now += 50.0
    made.start()
    assert made.join(PATIENCE)
    assert seen == [7.0, 0.0, 2.0, 7.0, 0.0, 2.0, 0.0]
    assert clock.waits == [100.0]


def test_who_should_have_woken_long_ago_is_silent(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    made = Service("worker", lambda: 10.0, min_gap=2.0)

    def oversleep(event: Event, seconds: float) -> bool:
        clock.now += seconds
        seen.append(made.silent_for())
        clock.now += 5.0
        if len(seen) == 2:
            seen.append(made.silent_for())
            made.stop()
        return False

    monkeypatch.setattr(Event, "wait", oversleep)
    made.start()
    assert made.join(PATIENCE)
    assert seen == [0.0, 5.0, 10.0]


def test_a_tick_outside_of_any_service_does_nothing() -> None:
    service.tick()


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (Shortage("no helper process can be started"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (MountUnavailable("away"), False),
        (LookupError("surprise"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_knows_whether_it_waits_for_resources(error: Exception, lacks: bool) -> None:
    errors = [error]

    def step() -> float:
        if errors:
            raise errors.pop()
        return 1.0

    service = Service("test", step)
    service._round()
    assert service.lacks_resources is lacks
    service._round()
    assert not service.lacks_resources

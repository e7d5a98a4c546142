"""The pauses between claims after work was given back, on a simulated clock."""

from dataclasses import dataclass

import pytest

from ingestd.pipeline import claim_pace
from ingestd.pipeline.claim_pace import ClaimPace, SetAside


@dataclass
class Clock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(claim_pace, "time", made)
    return made


def claimed_after(pace: ClaimPace, clock: Clock) -> float:
    """Waits until a claim is allowed, and makes it; returns the seconds."""
    start = clock.now
    while delay := pace.delay():
        clock.now += delay
    return clock.now - start


def test_nothing_is_delayed_at_first() -> None:
    pace = ClaimPace()
    assert [pace.delay() for _ in range(3)] == [0.0] * 3


def test_repeated_releases_make_the_pauses_grow(clock: Clock) -> None:
    pace, pauses = ClaimPace(), []
    for _ in range(7):
        pace.released(clock.now)
        pauses.append(claimed_after(pace, clock))
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_workers_that_meet_the_same_outage_count_once(clock: Clock) -> None:
    pace, claimed_at = ClaimPace(), clock.now
    clock.now += 50.0
    for _ in range(4):
        clock.now += 0.1
        pace.released(claimed_at)
    assert claimed_after(pace, clock) == pytest.approx(1.7)


def test_after_the_pause_one_worker_tries_before_the_others(clock: Clock) -> None:
    pace = ClaimPace()
    pace.released(clock.now)
    clock.now += 2.0
    assert [pace.delay() for _ in range(3)] == [0.0, 10.0, 10.0]
    clock.now += 10.0
    assert [pace.delay() for _ in range(2)] == [0.0, 10.0]
    assert pace.ended()
    assert [pace.delay() for _ in range(3)] == [0.0] * 3
    assert not pace.ended(), "no claim was delayed any more"


def test_a_worker_that_found_nothing_leaves_the_try_to_another(clock: Clock) -> None:
    pace = ClaimPace()
    pace.released(clock.now)
    clock.now += 2.0
    assert pace.delay() == 0.0
    pace.unused()
    assert pace.delay() == 0.0


def test_the_end_of_a_job_does_not_forget_the_releases_before(clock: Clock) -> None:
    pace = ClaimPace()
    for pause in (2.0, 4.0, 8.0):
        pace.released(clock.now)
        assert claimed_after(pace, clock) == pause
        pace.ended()


def test_calm_makes_the_pauses_short_again(clock: Clock) -> None:
    pace = ClaimPace()
    for _ in range(5):
        pace.released(clock.now)
        claimed_after(pace, clock)
    clock.now += claim_pace.CALM_SECONDS + 1
    pace.released(clock.now)
    assert claimed_after(pace, clock) == 2.0


@pytest.mark.parametrize("period", [0.2, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("workers", [4, 64])
def test_an_outage_that_comes_and_goes_costs_few_claims(clock: Clock, period: float, workers: int) -> None:
    """Each worker claims when it may, and gives its job back when the next outage begins."""
    pace, running, claims = ClaimPace(), [clock.now] * workers, []
    while clock.now < 1000.0 + 3600.0:
        clock.now += period
        for claimed_at in running:
            pace.released(claimed_at)
        running = [clock.now for _ in range(workers) if pace.delay() == 0.0]
        claims += running
    assert len(claims) <= 65, "about one a minute"
    assert len([claim for claim in claims if claim < 1060.0]) <= 6, "in the first minute"


# jobs that are set aside


def test_a_job_is_set_aside_for_pauses_that_grow(clock: Clock) -> None:
    aside, pauses = SetAside(20.0, 600.0), []
    for _ in range(7):
        aside.add(7)
        began = clock.now
        while aside.now() == [7]:
            clock.now += 1.0
        pauses.append(clock.now - began)
    assert pauses == [20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]
    aside.forget(7)
    aside.add(7)
    clock.now += 20.0
    assert aside.now() == []


def test_a_job_that_another_process_ended_is_forgotten(clock: Clock) -> None:
    aside = SetAside(2.0, 60.0)
    for _ in range(4):
        aside.add(7)
    clock.now += claim_pace.FORGET_SECONDS + 17.0
    assert aside.now() == []
    aside.add(7)
    clock.now += 2.0
    assert aside.now() == [], "its pauses are short again"

"""Jobs that are set aside because their bundles cannot be read: pauses, looks, and for how long they are waited for."""

import pytest

from ingestd.pipeline import unsettled as module
from ingestd.pipeline.unsettled import Unsettled
from support.scanning import Clock

LIMIT = 300.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def try_in_vain(unsettled: Unsettled, clock: Clock, cause: str = "items") -> float:
    """One try in vain, and the pause after it, to half a second."""
    unsettled.add(7, cause, LIMIT)
    began = clock.now
    while unsettled.now() == [7]:
        clock.now += 0.5
    return clock.now - began


def test_the_pauses_grow_and_end_with_the_time(clock: Clock) -> None:
    unsettled, began, pauses = Unsettled(), clock.now, []
    while (unsettled.waited(7, "items") or 0.0) < LIMIT:
        pauses.append(try_in_vain(unsettled, clock))
    assert pauses[:6] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert clock.now == began + LIMIT


@pytest.mark.parametrize("after", [0, 1, 4, 6])
def test_time_in_which_it_could_not_be_tried_does_not_count(clock: Clock, after: int) -> None:
    """As in an outage of the mount, with a paused queue, or a process that did not run."""
    unsettled = Unsettled()
    for _ in range(after):
        try_in_vain(unsettled, clock)
    pause = try_in_vain(unsettled, clock)
    clock.now += 100_000.0
    waited = unsettled.waited(7, "items")
    assert waited is not None
    assert waited <= sum([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0][:after]) + 1.5 * pause + 1.0
    assert waited < LIMIT
    assert unsettled.now() == [], "it is tried now"


@pytest.mark.parametrize("causes", [["manifest"], ["manifest", "items"], ["manifest", "items", "covers", "items"]])
def test_each_cause_has_its_time_whatever_comes_in_between(clock: Clock, causes: list[str]) -> None:
    unsettled, tries = Unsettled(), 0
    while all((unsettled.waited(7, cause) or 0.0) < LIMIT for cause in causes):
        try_in_vain(unsettled, clock, causes[tries % len(causes)])
        tries += 1
    assert tries <= 9 * len(set(causes)), "the pauses go on growing"
    unsettled.forget(7)
    assert unsettled.waited(7, "manifest") is None


def test_a_job_that_another_process_ended_is_forgotten(clock: Clock) -> None:
    unsettled = Unsettled()
    unsettled.add(7, "items", LIMIT)
    clock.now += module.FORGET_SECONDS + 3.0
    assert unsettled.now() == []
    assert unsettled.waited(7, "items") is None


def test_jobs_with_names_are_looked_at_before_they_are_claimed(clock: Clock) -> None:
    unsettled = Unsettled()
    for job_id in (7, 8, 9):
        unsettled.add(job_id, "manifest", LIMIT, f"bundle {job_id}")
    assert unsettled.take_due(16) == {}
    clock.now += 2.0
    assert unsettled.now() == [7, 8, 9], "each waits for a look"
    assert unsettled.take_due(2) == {7: "bundle 7", 8: "bundle 8"}
    assert unsettled.take_due(2) == {9: "bundle 9"}
    assert unsettled.take_due(2) == {}, "others are looking at them"
    unsettled.end(7)
    unsettled.add(8, "manifest", LIMIT, "bundle 8")
    assert unsettled.now() == [8, 9]
    clock.now += 4.0
    assert unsettled.take_due(16) == {8: "bundle 8"}


def test_a_job_whose_time_is_over_is_claimed_without_a_look(clock: Clock) -> None:
    unsettled = Unsettled()
    while (unsettled.waited(7, "manifest") or 0.0) < LIMIT:
        unsettled.add(7, "manifest", LIMIT, "bundle 7")
        assert unsettled.now() in ([7], [])
        clock.now += 30.0
    assert unsettled.now() == [], "a run has the last word"


@pytest.mark.parametrize("limit", [1, 3, 16])
def test_all_have_their_turn(clock: Clock, limit: int) -> None:
    unsettled, looked = Unsettled(), set[int]()
    for job_id in range(100):
        unsettled.add(job_id, "manifest", 100_000.0, "bundle")
    for _ in range(-(-100 // limit)):
        clock.now += 120.0
        for job_id, name in unsettled.take_due(limit).items():
            looked.add(job_id)
            unsettled.add(job_id, "manifest", 100_000.0, name)
    assert len(looked) == 100


@pytest.mark.parametrize("seconds", [4.0, 100.0, 240.0])
def test_the_time_of_tries_counts(clock: Clock, seconds: float) -> None:
    unsettled, tries = Unsettled(), 0
    while (unsettled.waited(7, "items") or 0.0) < LIMIT:
        began_at = clock.now
        clock.now += seconds
        unsettled.add(7, "items", LIMIT, began_at=began_at)
        while unsettled.now():
            clock.now += 0.5
        tries += 1
    assert tries <= LIMIT / min(seconds, LIMIT * module.MAX_SHARE) + 1

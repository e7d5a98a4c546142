"""The checker of the ledger that the chaos test relies on: it accepts interruptions, and notices every wrong event."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.histories import Event, History, Job, histories_of

Ledger = list[Event]
TALLY = {"created": 0, "failed": 0, "deferred": 0}


def event(kind: str, **payload: Any) -> Event:
    return Event("bundle", kind, payload)


def item(kind: str, name: str) -> Event:
    return event(f"item_{kind}", type="photo", hash=name, error=None)


def started(done: int) -> Event:
    return event("import_started", item_count=3, already_terminal_count=done)


def ended(worker: str, earlier: int, **tally: int) -> Ledger:
    counts = {**TALLY, **tally}
    summary = {"items_seen": sum(tally.values()), "summary": {"tally": counts}}
    return [
        event("import_finished", tally=counts, skipped_terminal=earlier),
        event("job_finished", job_id=1, summary=summary),
    ]


def claimed(worker: str) -> Event:
    return event("job_claimed", job_id=1, worker_id=worker)


BEGINNING = [event("scan"), event("job_queued", job_id=1)]
PLAN = [event("preflight_started"), event("preflight_finished")]
SMOOTH = [
    *BEGINNING, claimed("a"), *PLAN, started(0), item("created", "x"), item("failed", "y"), item("created", "z"),
    *ended("a", 0, created=2, failed=1),
]  # fmt: skip
ROUGH = [
    *BEGINNING, claimed("a"), event("job_reset", job_id=1, prior_claimed_by="a"),
    claimed("b"), *PLAN, started(0), item("created", "x"), item("failed", "y"),
    event("job_released", job_id=1, worker_id="b"),
    claimed("c"), started(1), item("failed", "y"), item("created", "z"), *ended("c", 1, created=1, failed=1),
]  # fmt: skip
SMOOTH_ROW, ROUGH_ROW = Job("done", 1, 0, 0, 3), Job("done", 3, 1, 1, 3)


def check(ledger: Ledger, row: Job = ROUGH_ROW) -> tuple[list[str], list[Any]]:
    found = histories_of(ledger, {1: row})
    return [fault for history in found for fault in history.faults()], sorted(story(found))


def story(histories: list[History]) -> list[Any]:
    return [line for history in histories for line in history.story()]


def test_an_interrupted_import_has_the_same_story() -> None:
    assert check(SMOOTH, SMOOTH_ROW)[0] == check(ROUGH)[0] == []
    assert check(SMOOTH, SMOOTH_ROW)[1] == check(ROUGH)[1]


@pytest.mark.parametrize("place", range(len(ROUGH)), ids=lambda place: f"{place}-{ROUGH[place].kind}")
@pytest.mark.parametrize("change", ["missing", "twice"])
def test_every_event_is_needed_once(place: int, change: str) -> None:
    ledger = [*ROUGH]
    ledger[place : place + 1] = [] if change == "missing" else [ROUGH[place]] * 2
    _, expected = check(SMOOTH, SMOOTH_ROW)
    faults, found = check(ledger)
    retried = change == "missing" and ROUGH[place].kind == "item_failed" and place < ROUGH.index(claimed("c"))
    assert (faults != [] or found != expected) is not retried, "what is tried again need not be tried by each claim"


def changed(kind: str, last: bool = True, **payload: Any) -> Callable[[Ledger], Ledger]:
    def change(ledger: Ledger) -> Ledger:
        places = [place for place, event in enumerate(ledger) if event.kind == kind]
        place = places[-1 if last else 0]
        ledger[place] = replace(ledger[place], payload={**ledger[place].payload, **payload})
        return ledger

    return change


CONTAINER = event("container_created", type="gallery", hash="h")
WRONG: dict[str, Callable[[Ledger], Ledger]] = {
    "another worker released it": changed("job_released", worker_id="a"),
    "another worker was reset": changed("job_reset", prior_claimed_by="c"),
    "more was done before": changed("import_started", already_terminal_count=2),
    "the sum is wrong": changed("import_finished", tally={"created": 2, "failed": 1, "deferred": 0}),
    "the sum of earlier claims is wrong": changed("import_finished", skipped_terminal=2),
    "the summary is another": changed("job_finished", summary={"items_seen": 9, "summary": {"tally": TALLY}}),
    "an item of another claim": lambda ledger: [*ledger[:-2], item("created", "x"), *ledger[-2:]],
    "an item after the end": lambda ledger: [*ledger, item("skipped", "w")],
    "an item before the claim": lambda ledger: [*ledger[:2], item("skipped", "w"), *ledger[2:]],
    "a container between claims": lambda ledger: [*ledger[:4], CONTAINER, *ledger[4:]],
    "a claim of a claimed job": lambda ledger: [*ledger[:3], claimed("b"), *ledger[3:]],
    "a release of a released job": lambda ledger: [*ledger[:4], ledger[9], *ledger[4:]],
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_events_are_noticed(wrong: str) -> None:
    assert check(WRONG[wrong]([*ROUGH]))[0] != []


@pytest.mark.parametrize(
    "row",
    [Job("done", 4, 1, 1, 3), Job("done", 3, 0, 1, 3), Job("done", 3, 1, 2, 3)],
    ids=["token", "reset", "release"],
)
def test_a_row_that_says_something_else_is_noticed(row: Job) -> None:
    assert check(ROUGH, row)[0] != []


def test_a_job_without_events_is_noticed() -> None:
    found = histories_of(ROUGH, {1: ROUGH_ROW, 2: SMOOTH_ROW})
    assert [fault for history in found for fault in history.faults()] != []

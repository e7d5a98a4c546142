"""What the ledger says about each batch, taken apart into jobs and their claims, and checked against the rules.

Independent of the daemon's code. A claim ends in exactly one of finished, reset and released; of all claims of a job
only the last one finishes. What succeeded is said once; what failed or waits is tried again by each further claim, and
said once by each.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

SUCCESSES = ("created", "updated", "linked", "removed", "skipped", "ignored")
UNSETTLED = ("failed", "deferred")
PLANNING = ("preflight_started", "preflight_finished")
GIVEN_BACK = {"job_reset": "prior_claimed_by", "job_released": "worker_id"}
"""how a claim ends before its time, and the key that names its worker"""
FORGOTTEN = {"job_id", "worker_id"}
"""keys that only say who did it"""


@dataclass(frozen=True)
class Event:
    sync_id: str | None
    kind: str
    payload: dict[str, Any]

    @property
    def subject(self) -> tuple[str, str, str] | None:
        """The item or container whose decision this is."""
        what, _, decision = self.kind.partition("_")
        if what not in ("item", "container") or decision not in (*SUCCESSES, *UNSETTLED):
            return None
        return what, self.payload["type"], self.payload["hash"]

    @property
    def is_success(self) -> bool:
        return self.subject is not None and self.kind.endswith(SUCCESSES)


@dataclass(frozen=True)
class Job:
    """What the row of a job says."""

    state: str
    claim_token: int
    reset_count: int
    release_count: int
    items_done: int


@dataclass
class Claim:
    """One claim: its worker, what it wrote, and how it ended."""

    worker: str
    events: list[Event] = field(default_factory=list)
    end: Event | None = None

    def count(self, *kinds: str) -> int:
        return sum(event.kind in kinds for event in self.events)

    def find(self, kind: str) -> Event | None:
        return next((event for event in self.events if event.kind == kind), None)

    def faults(self) -> Iterator[str]:
        kinds = [event.kind for event in self.events]
        start = kinds.index("import_started") if "import_started" in kinds else len(kinds)
        if kinds[:start] not in ([], list(PLANNING)) or kinds.count("import_started") > 1:
            yield f"{self.worker} began with {kinds[: start + 1]}"
        subjects = Counter(event.subject for event in self.events if event.subject)
        yield from (
            f"{self.worker} decided {count} times about {what}" for what, count in subjects.items() if count > 1
        )
        if self.end is not None and self.end.kind in GIVEN_BACK:
            if self.end.payload[GIVEN_BACK[self.end.kind]] != self.worker:
                yield f"{self.end.kind} of {self.end.payload} is not about {self.worker}"
            if "import_finished" in kinds:
                yield f"{self.worker} finished what was {self.end.kind} afterwards"


@dataclass
class History:
    """One batch. `outside` are events while no claim held its job."""

    sync_id: str | None
    outside: list[Event] = field(default_factory=list)
    jobs: dict[int, list[Claim]] = field(default_factory=dict)
    rows: dict[int, Job] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        claim, job_id = self._running(), event.payload.get("job_id")
        if event.kind == "job_queued":
            self.jobs.setdefault(event.payload["job_id"], [])
            self.outside.append(event)
        elif event.kind == "job_claimed":
            self._expect(claim is None and job_id in self.jobs, event)
            self.jobs.setdefault(event.payload["job_id"], []).append(Claim(event.payload["worker_id"]))
        elif event.kind in (*GIVEN_BACK, "job_finished"):
            self._expect(claim is not None and claim is self.jobs[event.payload["job_id"]][-1], event)
            (claim or Claim("unknown")).end = event
        elif claim is not None:
            claim.events.append(event)
        else:
            self._expect(event.subject is None and not event.kind.startswith("import_"), event)
            self.outside.append(event)

    def faults(self) -> list[str]:
        found = [*self.wrong]
        for job_id, claims in self.jobs.items():
            found += [fault for claim in claims for fault in claim.faults()]
            found += [*self._ends(claims), *self._repeats(claims), *self._sums(claims), *self._row(job_id, claims)]
        found += [f"{count} times {kind}" for kind, count in self._once().items() if count > 1]
        return [f"{self.sync_id}: {fault}" for fault in found]

    def story(self) -> Iterator[tuple[str | None, str, str]]:
        """The events of a run that nothing interrupts, without what interrupted claims repeated."""
        yield from (self._line(event) for event in _without_repeats(self.outside))
        for claims in self.jobs.values():
            planned = [event for claim in claims for event in claim.events if event.kind in PLANNING]
            yield from (self._line(event) for event in planned[:2])
            yield from (self._line(event) for claim in claims for event in claim.events if event.is_success)
            for event in claims[-1].events if claims else ():
                if event.kind not in PLANNING and not event.is_success:
                    yield self._line(event)
            if claims and (end := claims[-1].end) is not None:
                yield self._line(end)

    # rules

    def _once(self) -> Counter[str]:
        """Events outside of claims that state a fact; plans may be made again."""
        return Counter(f"{e.kind} {e.payload}" for e in self.outside if e.kind not in PLANNING)

    def _ends(self, claims: list[Claim]) -> Iterator[str]:
        ends = [claim.end.kind if claim.end else "nothing" for claim in claims]
        if ends[-1:] != ["job_finished"] or not set(ends[:-1]) <= set(GIVEN_BACK):
            yield f"its claims ended in {ends}"
        if claims and [event.kind for event in claims[-1].events].count("import_finished") != 1:
            yield "its last claim did not finish the import once"

    def _repeats(self, claims: list[Claim]) -> Iterator[str]:
        done: set[Any] = set()
        for claim in claims:
            start, events = claim.find("import_started"), [event for event in claim.events if event.subject]
            items = sum(what == "item" for what, *_ in done)
            if start is not None and start.payload["already_terminal_count"] != items:
                yield f"{claim.worker} began with {start.payload['already_terminal_count']} of {items} decided items"
            yield from (
                f"{event.kind} of {event.subject} after it was done" for event in events if event.subject in done
            )
            done |= {event.subject for event in events if event.is_success}

    def _sums(self, claims: list[Claim]) -> Iterator[str]:
        """What the last claim reports, counted again."""
        if not claims or (finished := claims[-1].find("import_finished")) is None or (end := claims[-1].end) is None:
            return
        counted = Counter(e.kind.partition("_")[2] for e in claims[-1].events if e.kind.startswith("item_"))
        reported = {key: count for key, count in finished.payload["tally"].items() if count}
        if reported != dict(counted):
            yield f"import_finished reports {reported}, and the ledger has {dict(counted)}"
        earlier = sum(e.is_success and e.kind.startswith("item_") for claim in claims[:-1] for e in claim.events)
        if finished.payload["skipped_terminal"] != earlier:
            yield f"import_finished reports {finished.payload['skipped_terminal']} of {earlier} earlier items"
        summary = end.payload["summary"]
        if summary["items_seen"] != counted.total() or summary["summary"]["tally"] != finished.payload["tally"]:
            yield f"job_finished reports {summary}, and import_finished {finished.payload}"

    def _row(self, job_id: int, claims: list[Claim]) -> Iterator[str]:
        row = self.rows.get(job_id)
        ends = Counter(claim.end.kind for claim in claims if claim.end)
        if row is None:
            yield f"job {job_id} has no row"
        elif (row.claim_token, row.reset_count, row.release_count) != (
            len(claims),
            ends["job_reset"],
            ends["job_released"],
        ):
            yield f"the row of job {job_id} says {row}, the ledger {len(claims)} claims and {dict(ends)}"

    # parts

    def _running(self) -> Claim | None:
        return next((claim for claims in self.jobs.values() for claim in claims[-1:] if claim.end is None), None)

    def _expect(self, holds: bool, event: Event) -> None:
        if not holds:
            self.wrong.append(f"{event.kind} {event.payload} at a wrong time")

    def _line(self, event: Event) -> tuple[str | None, str, str]:
        return self.sync_id, event.kind, json.dumps(_essence(event.kind, event.payload), sort_keys=True)


def histories_of(events: Iterable[Event], rows: dict[int, Job]) -> list[History]:
    found: dict[str | None, History] = {}
    for event in events:
        found.setdefault(event.sync_id, History(event.sync_id, rows=rows)).take(event)
    listed = {job_id for history in found.values() for job_id in history.jobs}
    silent = [f"job {job_id} was queued without an event" for job_id in rows if job_id not in listed]
    return [*found.values(), History(None, wrong=silent)]


def _without_repeats(events: list[Event]) -> list[Event]:
    """A plan that is made again when its request was interrupted says the same again."""
    plans = [event for event in events if event.kind in PLANNING]
    distinct = [event for place, event in enumerate(plans) if event not in plans[:place]]
    return [event for event in events if event.kind not in PLANNING] + distinct


def _essence(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A payload without what an interruption changes; `faults` has compared that with the other events."""
    kept = {key: value for key, value in payload.items() if key not in FORGOTTEN}
    if kind == "import_started":
        del kept["already_terminal_count"]
    elif kind == "import_finished":
        kept = {**kept, "tally": _unsettled(kept["tally"]), "skipped_terminal": "checked"}
    elif kind == "job_finished":
        outer = kept["summary"]
        inner = {**outer["summary"], "tally": _unsettled(outer["summary"]["tally"])}
        kept["summary"] = {**outer, "items_seen": "checked", "summary": inner}
    return kept


def _unsettled(tally: dict[str, int]) -> dict[str, int]:
    return {key: tally[key] for key in UNSETTLED}

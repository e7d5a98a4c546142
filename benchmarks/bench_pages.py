"""Lists and pages on a large database (200,000 batches, 1,000,000 jobs, a batch of 100,000 items) and on a small one.

Requests alternate between both. Each request returns the same number of rows from both databases, so that only the
size of the tables differs.
"""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common import Bench, bench, median
from frame import Form, Value, measures, note
from pages_filling import NEEDLE, Size, fill

from ingestd.app import Daemon

BIG = Size(batches=200_000, jobs=1_000_000, items=100_000)
SMALL = Size(batches=100, jobs=400, items=1000)
PAIRS = 41
TOKEN = "a-token-for-the-benchmark"

BATCHES, JOBS, BATCH = "/api/v1/batches", "/api/v1/jobs", f"/api/v1/batches/{NEEDLE}"
LISTS = (
    f"{BATCHES}?limit=50",
    f"{BATCHES}?limit=25&after={{batch}}",
    f"{BATCHES}?limit=25&status=failed",
    f"{BATCHES}?limit=25&status=failed&after={{batch}}",
    f"{BATCHES}?limit=25&action=create",
    f"{BATCHES}?limit=25&action=create&after={{batch}}",
    f"{BATCHES}?limit=25&status=failed&action=create",
    f"{BATCHES}?limit=25&status=failed&action=create&after={{batch}}",
    f"{BATCHES}?limit=25&prefix=a",
    f"{BATCHES}?limit=25&prefix=a&after={{batch}}",
    f"{BATCHES}?limit=25&prefix=ab",
    f"{BATCHES}?limit=10&prefix=ab&status=failed",
    f"{BATCHES}?limit=10&prefix=abc",
    f"{BATCHES}?limit=4&prefix=a&status=failed",
    f"{BATCHES}?prefix={NEEDLE[:8]}",
    f"{BATCHES}?limit=25&prefix=flux-07",
    f"{BATCHES}?limit=25&prefix=flux-07&after={{batch}}",
    f"{BATCHES}?prefix=nothing-begins-so",
    f"{BATCH}/items",
    f"{BATCH}/items?after={{item}}",
    f"{BATCH}/items?limit=10&decision=failed",
    f"{BATCH}/items?limit=5&decision=failed&after={{item}}",
    f"{BATCH}/items?decision=created",
    f"{BATCH}/items?decision=created&after={{item}}",
    f"{BATCH}/events",
    f"{BATCH}/events?after={{event}}",
    JOBS,
    f"{JOBS}?after={{job}}",
    *(f"{JOBS}?limit=10&state={state}" for state in ("running", "queued", "waiting")),
    *(f"{JOBS}?limit=25&state={state}" for state in ("done", "failed", "cancelled")),
    *(f"{JOBS}?limit=10&state={state}&after={{job}}" for state in ("done", "failed", "cancelled")),
)
PAGES = (
    "/",
    "/?limit=25&after={batch}",
    "/?limit=25&status=failed",
    "/?limit=25&status=failed&action=create",
    "/?limit=25&prefix=a",
    f"/?prefix={NEEDLE[:8]}",
    "/?limit=25&prefix=flux-07&after={batch}",
    "/tasks",
)
WITH_FAILURE_GROUPS = (
    BATCH,
    f"/batches/{NEEDLE}",
    f"/batches/{NEEDLE}?limit=10&decision=failed",
    f"/batches/{NEEDLE}?decision=created&after={{item}}",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A connection to a served application; `middle` holds a cursor in the middle of each list."""

    client: http.client.HTTPConnection
    middle: dict[str, int]

    def ask(self, question: str) -> tuple[float, bytes]:
        """Milliseconds until the response is complete, and its body."""
        path, start = question.format(**self.middle), time.perf_counter()
        self.client.request("GET", path, headers={"Host": "localhost:8640", "Authorization": f"Bearer {TOKEN}"})
        answer = self.client.getresponse()
        body = answer.read()
        taken = 1000 * (time.perf_counter() - start)
        assert answer.status == 200, f"{path} returned {answer.status}: {body[:300]!r}"
        return taken, body


@measures("pages", "pages failures")
def pages(world: Bench, form: Form) -> Iterator[Value]:
    """The slowest of all requests, each compared by the medians of alternate requests."""
    with bench() as other, serving(other, SMALL) as small, serving(world, BIG) as big:
        for _ in range(form.rounds(1)):
            yield Value("pages", max(compare(question, small, big) for question in (*LISTS, *PAGES)))
            yield Value("pages failures", max(compare(question, small, big) for question in WITH_FAILURE_GROUPS))


@contextmanager
def serving(world: Bench, size: Size) -> Iterator[Site]:
    """The real application on its listener, with a database of this size."""
    fill(world, size)
    with listening(world) as address:
        yield Site(http.client.HTTPConnection(address, timeout=60), middles(world, size))


@contextmanager
def listening(world: Bench) -> Iterator[str]:
    tokens = world.folder / "tokens"
    tokens.write_text(f"bench:operator:{TOKEN}\n")
    daemon = Daemon(world.settings(http={"listen": "127.0.0.1:0", "tokens_file": str(tokens)}))
    assert daemon.http is not None
    # Only the HTTP part: workers would claim the jobs.
    daemon.http.start()
    try:
        yield daemon.http.address
    finally:
        daemon.http.stop()
        daemon.context.mount.close()


def middles(world: Bench, size: Size) -> dict[str, int]:
    ((event,),) = world.sql("SELECT (MIN(id) + MAX(id)) DIV 2 FROM ingest_event WHERE batch_id = 1")
    return {"batch": size.batches // 2, "job": size.jobs // 2, "item": size.items // 2, "event": event}


def compare(question: str, small: Site, big: Site) -> float:
    """How much longer the large one takes, by medians of alternate requests that return the same number of rows."""
    pairs = [(small.ask(question), big.ask(question)) for _ in range(PAIRS)]
    few, many = (median([pair[side][0] for pair in pairs]) for side in (0, 1))
    rows = [rows_in(answer) for _, answer in pairs[0]]
    assert rows[0] == rows[1], f"{question}: {rows[0]} and {rows[1]} rows cannot be compared"
    note(f"{question}: {few:.2f} ms, {many:.2f} ms, ratio {many / few:.2f}, {rows[0]} rows")
    return many / few


def rows_in(answer: bytes) -> int:
    """The number of rows in a list or page."""
    if answer.startswith(b"{"):
        return len(json.loads(answer).get("items", ()))
    return answer.count(b"<tr")

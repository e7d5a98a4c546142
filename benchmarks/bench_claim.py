"""Line 18: the time of a claim with much history, much that waits, and an open snapshot, to that without."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common import Bench, median, timed
from frame import Form, Value, measures, note

from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context, make_context
from ingestd.pipeline.identity import this_instance

CLAIMS = 300
"""one median is of so many"""
BATCHES = (
    "INSERT INTO ingest_batch (sync_id, status, action, item_count, discovered_at)"
    " SELECT LPAD({first} + seq, 36, '0'), '{status}', 'create', 1, UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
)
JOBS = (
    "INSERT INTO import_job (batch_id, state, queued_at, finished_at)"
    " SELECT id, '{state}', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM ingest_batch WHERE sync_id > LPAD({first}, 36, '0')"
)
FINISHED = (
    "INSERT INTO import_job (batch_id, state, queued_at, finished_at)"
    " SELECT b.id, 'done', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM"
    " (SELECT id FROM ingest_batch ORDER BY id LIMIT 1000) b JOIN seq_1_to_{each}"
)


@measures("18a", "18b")
def claims_beside_others(world: Bench, form: Form) -> Iterator[Value]:
    """Both figures come from one growing database: nothing else, then jobs that wait, then finished jobs, too."""
    rounds = form.rounds(5)
    with pipeline(world) as context:
        queue(world, 1, 3 * rounds * CLAIMS)
        alone = [seconds(context) for _ in range(rounds)]
        add(world, 1_000_000, form.of(20_000, 5_000), "queued", "waiting")
        waiting = [seconds(context) for _ in range(rounds)]
        world.sql(FINISHED.format(each=form.of(1000, 100)), "ANALYZE TABLE import_job")
        finished = [seconds(context) for _ in range(rounds)]
    for before, beside_waiting, beside_finished in zip(alone, waiting, finished, strict=True):
        yield Value("18b", beside_waiting / before)
        yield Value("18a", beside_finished / beside_waiting)


@measures("18c")
def claims_under_snapshot(world: Bench, form: Form) -> Iterator[Value]:
    """Claims that end a long time of claims, all under one snapshot, to those before it."""
    claims = form.of(5000, 2000)
    with pipeline(world) as context:
        for _ in range(form.rounds(3)):
            world.empty()
            queue(world, 1, claims + CLAIMS)
            before = seconds(context)
            with snapshot(world):
                for _ in range(claims - CLAIMS):
                    take(context)
                after = seconds(context)
            note(f"{1000 * before:.2f} ms before, {1000 * after:.2f} ms at last")
            yield Value("18c", after / before)


@contextmanager
def pipeline(world: Bench, **overrides: Any) -> Iterator[Context]:
    """The parts of a daemon, without its threads."""
    context = make_context(world.settings(**overrides))
    try:
        yield context
    finally:
        context.mount.close()
        context.db.close()


@contextmanager
def snapshot(world: Bench) -> Iterator[None]:
    """What a dump holds open: a view of all tables as they are now."""
    connection = world.owner()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            cursor.execute("SELECT COUNT(*) FROM ingest_control")
            yield
    finally:
        connection.close()


def queue(world: Bench, first: int, count: int) -> None:
    add(world, first, count, "queued", "queued")


def add(world: Bench, first: int, count: int, status: str, state: str) -> None:
    """Batches, each with a job."""
    world.sql(
        BATCHES.format(first=first, status=status, count=count),
        JOBS.format(first=first, state=state),
        "ANALYZE TABLE import_job, ingest_batch",
    )


def seconds(context: Context) -> float:
    """The median of some claims."""
    return median([timed(lambda: take(context)) for _ in range(CLAIMS)])


def take(context: Context) -> None:
    lease = claim(context, "bench/pid:1/0", str(this_instance()))
    assert lease is not None, "all jobs are claimed"

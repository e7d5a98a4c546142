"""What a claim reads: little more than one job, however many jobs were claimed before, even under an old snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.store import job
from support.plans import plan_of
from support.world import World, owner_cursor

CLAIMED = 400
PAGES = (
    "SELECT variable_value + 0 FROM information_schema.global_status"
    " WHERE variable_name = 'Innodb_buffer_pool_read_requests'"
)


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


def put_jobs(world: World, count: int, state: str = "queued", priority: int = 100) -> None:
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, action, item_count, discovered_at)"
        f" SELECT UUID(), 'queued', 'create', 1, UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
    )
    world.sql(
        "INSERT INTO import_job (batch_id, state, priority, queued_at)"
        " SELECT id, %s, %s, UTC_TIMESTAMP(6) FROM ingest_batch"
        " WHERE id NOT IN (SELECT batch_id FROM import_job) ORDER BY id",
        state,
        priority,
    )


def take(context: Context) -> int:
    lease = claim(context, "w/pid:1/0", str(this_instance()))
    assert lease is not None
    return lease.job_id


@contextmanager
def snapshot(world: World) -> Iterator[None]:
    with owner_cursor(world.server.owner_settings()) as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        yield


def test_a_claim_under_a_snapshot_reads_hardly_more_than_the_first(world: World, context: Context) -> None:
    put_jobs(world, CLAIMED + 4)
    first = min(pages(world, context) for _claim in range(2))
    with snapshot(world):
        for _ in range(CLAIMED):
            take(context)
        last = min(pages(world, context) for _claim in range(2))
    assert last < first + CLAIMED / 2


def pages(world: World, context: Context) -> float:
    """How often a claim looks at a page."""
    before: float = world.one(PAGES)
    take(context)
    return float(world.one(PAGES) - before)


def test_a_claim_reads_from_the_first_job_on(world: World) -> None:
    put_jobs(world, 50)
    world.sql("ANALYZE TABLE import_job, ingest_batch")
    for query, values in ((job._sql.next_queued, {}), (job._sql.next_queued_without, {"job_ids": "(1, 2)"})):
        steps = [step for step in plan_of(world, query, values) if step.table == "j"]
        assert [(step.key, step.kind) for step in steps] == [("claim", "range")]
        assert not steps[0].sorts


def test_jobs_are_claimed_by_priority_and_age_whatever_was_claimed_before(world: World, context: Context) -> None:
    for priority in (100, 5, 100, -1):
        put_jobs(world, 2, priority=priority)
    put_jobs(world, 3, "waiting", priority=1)
    places = world.sql("SELECT id FROM import_job WHERE state = 'queued' ORDER BY priority, id")
    assert [take(context) for _ in places] == [id_ for (id_,) in places]
    assert claim(context, "w", str(this_instance())) is None
    world.sql("UPDATE import_job SET state = 'queued' WHERE id = %s", places[-1][0])
    world.sql("UPDATE import_job SET state = 'queued' WHERE id = %s", places[2][0])
    assert [take(context) for _ in range(2)] == [places[2][0], places[-1][0]]


def test_a_first_job_that_others_hold_delays_no_claim(world: World, context: Context) -> None:
    put_jobs(world, 3)
    ids = [id_ for (id_,) in world.sql("SELECT id FROM import_job ORDER BY id")]
    with owner_cursor(world.server.owner_settings()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE import_job SET state = 'running' WHERE id = %s", (ids[0],))
        assert take(context) == ids[1]
        cursor.execute("ROLLBACK")
    assert [take(context) for _ in range(2)] == [ids[0], ids[2]]

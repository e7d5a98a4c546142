"""Waiting jobs that the end of the job before did not queue: what it left is noted, others have turns."""

import pytest

from ingestd.pipeline import cancelling, ordering, promotions
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import waiting_jobs
from support.plans import rows_touched
from support.world import World, photo

FEW = 100
LENGTH = 3000
NOTES = "SELECT COUNT(*) FROM ingest_due"
STATES = "SELECT state, COUNT(*) FROM import_job GROUP BY state ORDER BY state"


@pytest.fixture
def context(world: World) -> Context:
    return world.context()


@pytest.fixture
def no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sweep finds what was not noted."""
    monkeypatch.setattr(waiting_jobs, "following", lambda *_arguments: [])


def put_followers(world: World, context: Context, count: int) -> str:
    """A queued batch, and batches that wait for it."""
    prior = world.put(photo("p"), day=1)
    followers = [world.put(photo(f"f{number}"), day=2, prior_sync_id=prior) for number in range(count)]
    world.scan(context)
    for sync_id in (prior, *followers):
        enqueue(context, QueueRequest(sync_id, "tester"))
    return prior


@pytest.mark.usefixtures("no_turns")
def test_what_the_end_of_a_job_leaves_is_noted(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MAX_SUCCESSORS", 3)
    put_followers(world, context, 5)
    assert world.run_next(context) == "done"
    assert world.sql(STATES) == [("done", 1), ("queued", 3), ("waiting", 2)]
    sweeper = Sweeper(context)
    assert [sweeper.promote() for _sweep in range(2)] == [2, 0]
    assert world.one(NOTES) == 0


@pytest.mark.usefixtures("no_turns")
def test_those_that_wait_for_a_cancelled_job_are_noted(world: World, context: Context) -> None:
    prior = put_followers(world, context, 2)
    cancelling.cancel(context, prior, "tester")
    sweeper = Sweeper(context)
    assert [sweeper.promote() for _sweep in range(2)] == [2, 0]
    assert world.one(NOTES) == 0


def test_the_ordinary_end_of_a_job_notes_nothing(world: World, context: Context) -> None:
    put_followers(world, context, 2)
    assert world.run_next(context) == "done"
    assert world.sql(STATES) == [("done", 1), ("queued", 2)]
    assert world.one(NOTES) == 0


def put_chain(world: World) -> None:
    """A long chain of batches as rows, each later than the one that it follows, all with a waiting job."""
    world.sql(
        "INSERT INTO ingest_batch"
        " (sync_id, action, status, item_count, discovered_at, manifest_completed_at, prior_sync_id, is_placed)"
        " SELECT LPAD(seq, 36, '0'), 'create', 'queued', 1, UTC_TIMESTAMP(6), '2026-04-01' + INTERVAL seq SECOND,"
        f" LPAD(seq - 1, 36, '0'), 1 FROM seq_1_to_{LENGTH}"
    )
    world.sql(
        "INSERT INTO import_job (batch_id, state, priority, queued_at)"
        " SELECT id, IF(sync_id = LPAD(1, 36, '0'), 'queued', 'waiting'), MOD(id, 3), UTC_TIMESTAMP(6)"
        " FROM ingest_batch"
    )
    world.sql("ANALYZE TABLE ingest_batch, import_job")


def test_a_sweep_reads_few_of_a_long_chain(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    put_chain(world)
    monkeypatch.setattr(promotions, "MAX_WAITING", 5)
    sweeper = Sweeper(context)
    for _sweep in range(3):
        assert rows_touched(context.db, lambda _tx: sweeper.promote()) < FEW
    monkeypatch.setattr(promotions, "MAX_WAITING", LENGTH // 5)
    free = "SELECT id FROM import_job WHERE state = 'waiting' ORDER BY id DESC LIMIT 1 OFFSET 99"
    ((job_id,),) = world.sql(free)
    world.sql(
        "UPDATE ingest_batch SET prior_sync_id = NULL WHERE id = (SELECT batch_id FROM import_job WHERE id = %s)",
        job_id,
    )
    assert sum(sweeper.promote() for _sweep in range(6)) == 1
    assert world.one("SELECT state FROM import_job WHERE id = %s", job_id) == "queued"

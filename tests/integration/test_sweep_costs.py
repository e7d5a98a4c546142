"""What sweeps read: what is due, and a few rows more, however much waits."""

from collections.abc import Callable
from functools import partial

import pytest

from ingestd.model import Action, BatchStatus
from ingestd.pipeline import cancelling, rescuer
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch, due
from ingestd.store.due import Look
from support.plans import rows_touched
from support.world import World, photo

FEW = 100
BACKLOG = 3000
DAY = "'2026-04-01' + INTERVAL seq SECOND"


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create", "update"]})


def batches(world: World, status: str, action: str = "create", **columns: str) -> None:
    """Many batches as rows, of which nothing is due; `columns` are SQL."""
    given = {"item_count": "1", "discovered_at": "UTC_TIMESTAMP(6)", "manifest_completed_at": DAY, "is_placed": "1"}
    given |= {"manifest_sha256": "SHA2(seq, 256)", "sync_id": f"CONCAT('{action[:2]}', LPAD(seq, 34, '0'))", **columns}
    world.sql(
        f"INSERT INTO ingest_batch (status, action, {', '.join(given)})"
        f" SELECT '{status}', '{action}', {', '.join(given.values())} FROM seq_1_to_{BACKLOG}"
    )


def jobs(world: World, state: str) -> None:
    """A job of all items for each batch."""
    world.sql(
        "INSERT INTO import_job (batch_id, state, manifest_sha256, queued_at)"
        " SELECT id, %s, manifest_sha256, UTC_TIMESTAMP(6) FROM ingest_batch",
        state,
    )


def touched(context: Context, sweep: Callable[[], object]) -> int:
    return rows_touched(context.db, lambda _tx: sweep())


def test_new_batches_are_found_among_many_cancelled_ones_and_others(world: World, context: Context) -> None:
    batches(world, "new", lacks_job="0")
    jobs(world, "cancelled")
    batches(world, "new", action="remove")
    world.sql("ANALYZE TABLE ingest_batch, import_job")
    look = partial(due.never_queued, actions=(Action.CREATE, Action.UPDATE), limit=500)
    assert rows_touched(context.db, look) < FEW
    world.put(photo("a"))
    world.scan(context)
    assert rows_touched(context.db, look) < FEW
    assert Sweeper(context).queue_new() == 1


def test_a_cancelled_batch_is_not_looked_at_again(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"))
    world.scan(context)
    lacks_job = "SELECT lacks_job FROM ingest_batch"
    assert world.one(lacks_job) == 1
    enqueue(context, QueueRequest(sync_id, "tester", priority=1))
    assert world.one(lacks_job) == 0
    world.sql("UPDATE ingest_batch SET lacks_job = 1")
    cancelling.cancel(context, sync_id, "tester")
    assert world.one(lacks_job) == 0
    world.put(photo("b"), sync_id=sync_id)
    world.scan(context)
    assert world.one(lacks_job) == 0


def test_content_that_is_delivered_after_a_job_is_looked_at(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"))
    assert world.import_all(context, sync_id) == ["done"]
    world.put(photo("b"), sync_id=sync_id)
    world.scan(context)
    assert world.one("SELECT lacks_job FROM ingest_batch") == 1
    assert Sweeper(context).queue_new() == 1
    assert world.one("SELECT lacks_job FROM ingest_batch") == 0


def test_due_retries_are_found_among_many_failed_batches(world: World, context: Context) -> None:
    never, later = "NULL", "UTC_TIMESTAMP(6) + INTERVAL 1 HOUR"
    for action, when in (("create", never), ("update", later)):
        batches(world, "failed", action=action, failure_count="3", completed_at="UTC_TIMESTAMP(6)", retry_at=when)
    jobs(world, "failed")
    world.sql("ANALYZE TABLE ingest_batch, import_job")
    look = partial(batch.retryable, limit=500)
    assert rows_touched(context.db, look) < FEW
    world.sql("UPDATE ingest_batch SET retry_at = UTC_TIMESTAMP(6) WHERE action = 'update' ORDER BY id LIMIT 3")
    assert rows_touched(context.db, look) < FEW
    assert len(context.db.read(look)) == 3


def test_statuses_of_a_long_queue_are_checked_in_turns(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescuer, "MAX_LOOKS", BACKLOG // 3)
    batches(world, "queued")
    jobs(world, "waiting")
    world.sql("ANALYZE TABLE ingest_batch, import_job")
    rescue = Rescuer(context, this_instance())
    assert touched(context, rescue.run_once) < 3 * BACKLOG // 3 + FEW
    world.sql("UPDATE import_job SET state = 'failed' ORDER BY id DESC LIMIT 1")
    for _round in range(3):
        rescue.run_once()
    assert world.one("SELECT COUNT(*) FROM ingest_batch WHERE status = %s", BatchStatus.QUEUED.value) == BACKLOG - 1


def test_sweeps_without_work_take_one_statement(world: World, context: Context, statements: list[str]) -> None:
    batches(world, "imported", lacks_job="0")
    jobs(world, "done")
    sweeper = Sweeper(context)
    sweeper.promote_and_requeue()
    statements.clear()
    sweeper.promote_and_requeue()
    assert len(statements) == 1
    assert rows_touched(context.db, due.look) < 10


def test_looking_for_new_batches_takes_one_statement_for_all_actions(
    world: World, context: Context, statements: list[str]
) -> None:
    batches(world, "imported", lacks_job="0")
    sweeper = Sweeper(context)
    sweeper.queue_new()
    statements.clear()
    sweeper.queue_new()
    assert len(statements) == 1


def test_actions_of_many_new_batches_are_found_by_few_rows(world: World, context: Context) -> None:
    batches(world, "new")
    batches(world, "new", action="update")
    world.sql("ANALYZE TABLE ingest_batch")
    look = partial(due.never_queued, actions=(Action.CREATE, Action.UPDATE), limit=10)
    assert rows_touched(context.db, look) < FEW
    assert len(context.db.read(look)) == 10


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("UPDATE ingest_batch SET is_placed = 0 WHERE id = {id}", Look(True, False, False, False)),
        ("INSERT INTO ingest_order (version_at) VALUES (NOW())", Look(True, False, False, False)),
        (
            "INSERT INTO ingest_due (kind, batch_id, due_at) VALUES ('revival', {id}, NOW())",
            Look(False, True, False, False),
        ),
        ("UPDATE import_job SET state = 'waiting' WHERE batch_id = {id}", Look(False, False, True, False)),
        ("UPDATE ingest_batch SET retry_at = NOW() WHERE id = {id}", Look(False, False, False, True)),
    ],
)  # fmt: skip
def test_each_kind_of_work_is_seen(world: World, context: Context, statement: str, seen: Look) -> None:
    batches(world, "imported", lacks_job="0")
    jobs(world, "done")
    assert context.db.read(due.look) == Look(False, False, False, False)
    world.sql(statement.format(id=world.one("SELECT MIN(id) FROM ingest_batch")))
    assert context.db.read(due.look) == seen

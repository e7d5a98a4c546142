"""Runs that fail as a whole: the batch is failed, a sweep queues it again with growing pauses, people can intervene."""

import pytest

from ingestd.errors import NotEligible
from ingestd.model import Scope
from ingestd.pipeline import cancelling
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import container_writer
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch
from ingestd.store.db import Tx
from support.refusals import refused_events
from support.world import World, md5, photo

PAUSES = (60.0, 300.0)
GALLERY = {"type": "gallery", "hash": md5("g"), "title": "g", "items": [md5("a")]}


def fail(world: World, context: Context) -> str | None:
    """Runs the next job, which fails as a whole."""
    with refused_events(world, "import_started"):
        return world.run_next(context)


def queued(world: World, context: Context, **more: object) -> str:
    sync_id = world.put(photo("a"), photo("b"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia", **more))  # type: ignore[arg-type]
    return sync_id


def standing(world: World) -> tuple[str, int, float | None]:
    """The status of the only batch, its failures in a row, and the seconds from its end to its retry."""
    ((status, count, pause),) = world.sql(
        "SELECT status, failure_count, TIMESTAMPDIFF(MICROSECOND, completed_at, retry_at) / 1e6 FROM ingest_batch"
        " WHERE %s", 1
    )  # fmt: skip
    return status, count, None if pause is None else float(pause)


def make_due(world: World) -> None:
    world.sql("UPDATE ingest_batch SET retry_at = UTC_TIMESTAMP(6) WHERE retry_at IS NOT NULL AND %s", 1)


def jobs(world: World) -> list[tuple[str, str, int, str]]:
    rows = world.sql("SELECT state, requested_by, priority, scope FROM import_job WHERE %s ORDER BY id", 1)
    return [(state, by, priority, scope) for state, by, priority, scope in rows]


def test_a_run_that_fails_as_a_whole_leaves_a_failed_batch_with_its_error(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    queued(world, context)
    assert fail(world, context) == "failed"
    assert standing(world) == ("failed", 1, 60.0)
    assert "the site refuses it" in world.one("SELECT last_error FROM ingest_batch")
    assert "the site refuses it" in world.one("SELECT last_error FROM import_job")
    assert world.one("SELECT COUNT(*) FROM asset") == 0


def test_a_clock_that_was_ahead_when_it_failed_delays_no_retry(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    queued(world, context)
    fail(world, context)
    world.sql(
        "UPDATE ingest_batch SET retry_at = retry_at + INTERVAL 1 YEAR, completed_at = completed_at + INTERVAL 1 YEAR"
    )
    assert Sweeper(context).retry() == 1
    assert world.run_next(context) == "done"


def test_a_sweep_queues_it_again_when_its_pause_is_over(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context, priority=7)
    fail(world, context)
    sweeper = Sweeper(context)
    assert sweeper.retry() == 0, "its pause is not over"
    make_due(world)
    assert (sweeper.retry(), sweeper.retry()) == (1, 0)
    assert standing(world) == ("queued", 1, None)
    assert world.run_next(context) == "done"
    assert standing(world) == ("imported", 0, None)
    assert jobs(world) == [("failed", "olivia", 7, "all"), ("done", "ingestd", 7, "all")]
    assert set(world.decisions(sync_id).values()) == {"created"}


def test_a_retry_takes_the_items_of_the_job_that_failed(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = world.put(photo("a"), photo("late"))
    (world.root / "photo" / md5("late") / "0.jpg").unlink()
    world.import_all(context, sync_id)
    enqueue(context, QueueRequest(sync_id, "olivia", scope=Scope.FAILED))
    fail(world, context)
    make_due(world)
    assert Sweeper(context).retry() == 1
    assert [scope for _, _, _, scope in jobs(world)] == ["all", "failed", "failed"]


def test_pauses_grow_and_then_a_person_is_needed(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id, sweeper = queued(world, context), Sweeper(context)
    seen = []
    for _ in range(3):
        fail(world, context)
        seen.append(standing(world))
        make_due(world)
        sweeper.retry()
    assert seen == [("failed", 1, 60.0), ("failed", 2, 300.0), ("failed", 3, None)]
    assert [state for state, *_ in jobs(world)] == ["failed"] * 3, "nothing is queued any more"
    enqueue(context, QueueRequest(sync_id, "olivia"))
    fail(world, context)
    assert standing(world) == ("failed", 1, 60.0), "the request of a person starts the count again"


def test_a_person_need_not_wait_for_the_pause(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    fail(world, context)
    assert enqueue(context, QueueRequest(sync_id, "olivia")).job.state == "queued"
    assert standing(world) == ("queued", 1, None)
    cancelling.cancel(context, sync_id, "olivia")
    assert standing(world) == ("failed", 1, None), "its last run still failed"
    assert Sweeper(context).retry() == 0


def test_cancel_cancels_the_retry(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    fail(world, context)
    make_due(world)
    assert cancelling.cancel(context, sync_id, "olivia").state == "failed"
    assert standing(world) == ("failed", 1, None)
    assert Sweeper(context).retry() == 0
    kind, payload = world.events(sync_id)[-1]
    assert (kind, payload["requested_by"]) == ("retry_cancelled", "olivia")
    with pytest.raises(NotEligible, match="no job to cancel"):
        cancelling.cancel(context, sync_id, "olivia")


def test_a_retry_that_was_cancelled_after_the_sweep_saw_it_is_not_queued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    fail(world, context)
    make_due(world)
    seen = batch.retryable

    def cancelled_since(tx: Tx, limit: int) -> list[tuple[str, Scope, int]]:
        found = seen(tx, limit)
        cancelling.cancel(context, sync_id, "olivia")
        return found

    monkeypatch.setattr(batch, "retryable", cancelled_since)
    assert Sweeper(context).retry() == 0
    assert [state for state, *_ in jobs(world)] == ["failed"]


def test_without_pauses_nothing_is_retried(world: World) -> None:
    context = world.context(queue={"retry_pauses": ()})
    queued(world, context)
    fail(world, context)
    assert standing(world) == ("failed", 1, None)


def test_a_run_that_fails_before_it_has_a_plan_is_noticed(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES, "auto": ["create"]})
    world.put(photo("a"))
    world.scan(context)
    Sweeper(context).queue_new()
    with refused_events(world, "preflight_started"):
        assert world.run_next(context) == "failed"
    assert standing(world) == ("failed", 1, 60.0)
    assert Sweeper(context).queue_new() == 0
    make_due(world)
    assert Sweeper(context).retry() == 1
    assert world.run_next(context) == "done"


def test_another_manifest_ends_the_retries(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    fail(world, context)
    world.put(photo("a", title="other"), sync_id=sync_id)
    preflight(context, sync_id)
    assert standing(world)[1:] == (0, None)
    assert world.status(sync_id) == "ready"


def test_a_preflight_keeps_the_failure_in_sight(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    fail(world, context)
    preflight(context, sync_id)
    assert standing(world) == ("failed", 1, 60.0)
    assert "the site refuses it" in world.one("SELECT last_error FROM ingest_batch")


def test_faults_of_the_bundle_are_not_retried(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = queued(world, context)
    world.put(photo("a"), sync_id=sync_id, status="unfinished")
    assert world.run_next(context) == "failed"
    assert standing(world) == ("invalid", 0, None)


def test_refused_removals_are_not_retried(world: World) -> None:
    context = world.context(queue={"retry_pauses": PAUSES, "removal_limit": 1, "auto": ["remove"]})
    world.put(*({"type": "photo", "hash": md5(name)} for name in "ab"))
    world.put(*({"type": "photo", "hash": md5(name)} for name in "ab"), action="remove", day=2)
    world.scan(context)
    enqueue(context, QueueRequest(world.one("SELECT sync_id FROM ingest_batch WHERE action = 'create'"), "olivia"))
    world.run_next(context)
    Sweeper(context).queue_new()
    assert world.run_next(context) == "failed"
    assert world.sql("SELECT failure_count, retry_at FROM ingest_batch WHERE action = %s", "remove") == [(0, None)]


@pytest.mark.parametrize("message", ["plain", "half a pair \ud800", "long " * 100_000, "nul \0"])
def test_internal_errors_are_retried_and_recorded(world: World, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    context = world.context(queue={"retry_pauses": PAUSES})
    sync_id = world.put(photo("a"), containers=[GALLERY])
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "olivia"))

    def surprise(*_arguments: object, **_more: object) -> None:
        raise KeyError(message)

    with monkeypatch.context() as patched:
        patched.setattr(container_writer, "write_members", surprise)
        assert world.run_next(context) == "failed"
    assert standing(world) == ("failed", 1, 60.0)
    assert world.one("SELECT last_error FROM ingest_batch").startswith("internal error: KeyError: ")
    make_due(world)
    Sweeper(context).retry()
    assert world.run_next(context) == "done"
    assert standing(world) == ("imported", 0, None)


def test_one_batch_that_cannot_be_queued_does_not_stop_the_sweep(world: World) -> None:
    context = world.context(queue={"auto": ["create"]})
    for day in (1, 2, 3):
        world.put(photo(f"p{day}"), day=day)
    world.scan(context)
    refused = world.one("SELECT id FROM ingest_batch ORDER BY manifest_completed_at LIMIT 1")
    world.sql(
        "CREATE TRIGGER refusal BEFORE INSERT ON import_job FOR EACH ROW"
        f" IF NEW.batch_id = {refused} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
    )
    try:
        assert Sweeper(context).queue_new() == 2
    finally:
        world.sql("DROP TRIGGER refusal")
    assert Sweeper(context).queue_new() == 1

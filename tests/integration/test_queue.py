"""Queueing, cancelling, priorities, waiting, pausing, removal limits, sweeps; the claim locks one row by its index."""

import pytest

from ingestd.errors import NotEligible, NotFound, RemovalRefused
from ingestd.model import TAKEN_BY, JobState, Scope
from ingestd.pipeline import cancelling, pausing
from ingestd.pipeline.claims import claim
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch, control, job
from support.locks import holding
from support.world import World, md5, new_sync_id, photo

INSTANCE = str(this_instance())


def ask(sync_id: str, **more: object) -> QueueRequest:
    return QueueRequest(sync_id, "tester", **more)  # type: ignore[arg-type]


def job_states(world: World) -> list[tuple[int, str]]:
    return [(id_, state) for id_, state in world.sql("SELECT id, state FROM import_job ORDER BY id")]


def test_queueing_twice_gives_the_same_job(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    first, second = (enqueue(context, ask(sync_id)) for _ in range(2))
    assert first.is_new
    assert not second.is_new
    assert first.job.id == second.job.id
    assert world.status(sync_id) == "queued"


def test_a_new_priority_applies_to_a_job_that_is_not_running(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, ask(sync_id))
    assert enqueue(context, ask(sync_id, priority=5)).job.priority == 5
    assert world.one("SELECT priority FROM import_job") == 5
    assert world.events(sync_id)[-1] == (
        "job_reprioritised",
        {"phase": "job_reprioritise", "job_id": 1, "priority": 5, "requested_by": "tester"}
        | {"job_id": world.one("SELECT id FROM import_job")},
    )


def test_order_is_priority_then_age(world: World) -> None:
    context = world.context()
    ids = [world.put(photo(name)) for name in "abcd"]
    world.scan(context)
    for sync_id, priority in zip(ids, (100, 50, 100, 50), strict=True):
        enqueue(context, ask(sync_id, priority=priority))
    claimed = []
    while lease := claim(context, "w", INSTANCE):
        claimed.append(context.db.read(lambda tx, id_=lease.batch_id: batch.find_by_id(tx, id_)).sync_id)  # type: ignore[misc]
    assert claimed == [ids[1], ids[3], ids[0], ids[2]]


def test_cancel(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    with pytest.raises(NotFound):
        cancelling.cancel(context, new_sync_id(), "tester")
    with pytest.raises(NotEligible, match="no job to cancel"):
        cancelling.cancel(context, sync_id, "tester")
    enqueue(context, ask(sync_id))
    assert cancelling.cancel(context, sync_id, "tester").state is JobState.CANCELLED
    assert world.status(sync_id) == "ready"
    enqueue(context, ask(sync_id))
    claim(context, "w", INSTANCE)
    with pytest.raises(NotEligible, match="only stopping the service"):
        cancelling.cancel(context, sync_id, "tester")


def test_a_job_waits_for_the_batch_it_follows(world: World) -> None:
    context = world.context()
    first = world.put(photo("a"), day=1)
    second = world.put(photo("a", title="b"), day=2, prior_sync_id=first)
    third = world.put(photo("c"), day=3, prior_sync_id=new_sync_id())
    world.scan(context)
    states = [enqueue(context, ask(sync_id)).job.state for sync_id in (first, second, third)]
    assert states == ["queued", "waiting", "queued"]
    sweeper = Sweeper(context)
    assert sweeper.promote() == 0
    cancelling.cancel(context, first, "tester")
    assert sweeper.promote() == 1
    assert world.events(second)[-1][0] == "job_promoted"
    assert sweeper.promote() == 0


def test_batches_that_follow_each_other_do_not_wait_for_each_other(world: World) -> None:
    context = world.context()
    one, two = sorted((new_sync_id(), new_sync_id()))
    world.put(photo("a"), sync_id=one, prior_sync_id=two)
    world.put(photo("b"), sync_id=two, prior_sync_id=one)
    own = new_sync_id()
    world.put(photo("c"), sync_id=own, prior_sync_id=own)
    world.scan(context)
    states = [enqueue(context, ask(sync_id)).job.state for sync_id in (one, two, own)]
    assert states == ["queued", "waiting", "queued"]
    while world.run_next(context):
        Sweeper(context).promote()
    assert {state for _, state in job_states(world)} == {"done"}


def test_the_database_refuses_a_second_active_job(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, ask(sync_id))
    insert = "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, '{}', NOW() FROM ingest_batch"
    for state in ("waiting", "queued", "running"):
        with pytest.raises(Exception, match="one_active_job"):
            world.sql(insert.format(state))
    world.sql(insert.format("done"))


def test_auto_queues_new_content_once_and_no_cancelled_batch(world: World) -> None:
    context = world.context(queue={"auto": ["create"]})
    sweeper = Sweeper(context)
    sync_id, other = world.put(photo("a")), world.put(photo("b"), action="update")
    world.scan(context)
    assert sweeper.queue_new() == 1
    assert sweeper.queue_new() == 0
    assert world.status(other) == "new"
    world.run_next(context)
    assert sweeper.queue_new() == 0
    world.put(photo("changed"), sync_id=sync_id)
    world.scan(context)
    assert sweeper.queue_new() == 1
    cancelling.cancel(context, sync_id, "tester")
    assert sweeper.queue_new() == 0
    world.put(photo("again"), sync_id=sync_id)
    world.scan(context)
    assert sweeper.queue_new() == 0


def test_pausing_stops_claims_on_every_host_and_is_recorded(world: World) -> None:
    context, elsewhere = world.context(), world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, ask(sync_id))
    assert pausing.pause(context, "tester", "backup")
    assert not pausing.pause(elsewhere, "other", None)
    assert claim(elsewhere, "w", INSTANCE) is None
    assert context.db.read(control.find).paused_by == "tester"
    assert pausing.resume(elsewhere, "other")
    assert not pausing.resume(elsewhere, "other")
    assert claim(elsewhere, "w", INSTANCE) is not None
    events = world.sql("SELECT event_type FROM ingest_event WHERE batch_id IS NULL ORDER BY id")
    assert events == [("queue_paused",), ("queue_resumed",)]


def test_a_removal_beyond_the_limit_needs_force_for_its_manifest(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    names = ("a", "b", "c")
    created = world.put(*(photo(name) for name in names))
    world.import_all(context, created)
    gone = [{"type": "photo", "hash": md5(name)} for name in names]
    removal = world.put(*gone, action="remove", day=2)
    world.scan(context)
    with pytest.raises(RemovalRefused, match="would remove 3 assets"):
        enqueue(context, ask(removal))
    assert world.events(removal)[-1][0] == "removal_refused"
    assert world.status(removal) == "held"
    enqueue(context, ask(removal, force=True))
    world.put(*gone[::-1], sync_id=removal, action="remove", day=2)
    assert world.run_next(context) == "failed"
    assert "removal_refused" in [kind for kind, _ in world.events(removal)]
    assert world.one("SELECT COUNT(*) FROM asset WHERE deleted_at IS NULL") == 3
    assert world.status(removal) == "held"
    enqueue(context, ask(removal, force=True))
    assert world.run_next(context) == "done"
    assert world.one("SELECT COUNT(*) FROM asset WHERE deleted_at IS NULL") == 0


def test_scope_failed_takes_only_failed_items(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"))
    with_file = world.root / photo("b")["path"] / "0.jpg"
    with_file.unlink()
    world.import_all(context, sync_id)
    with pytest.raises(NotEligible, match="no deferred items"):
        enqueue(context, ask(sync_id, scope=Scope.DEFERRED))
    with_file.write_bytes(b"x" * 10)
    enqueue(context, ask(sync_id, scope=Scope.FAILED))
    world.run_next(context)
    assert set(world.decisions(sync_id).values()) == {"created"}
    assert world.status(sync_id) == "imported"


def test_preflight_writes_a_plan_and_nothing_into_the_library(world: World) -> None:
    context = world.context()
    known = world.put(photo("a"), day=1)
    world.import_all(context, known)
    before = world.library()
    sync_id = world.put(photo("a"), photo("b"), {"type": "photo", "hash": "bad"}, day=2)
    world.scan(context)
    plan = preflight(context, sync_id)
    assert (plan["ok"], plan["item_count"]) == (0, 3)
    assert {k: v for k, v in plan["counts"].items() if v} == {"will_create": 1, "will_skip": 1, "will_fail": 1}
    assert plan["failure_samples"][0]["hash"] == "#2"
    assert world.library() == before
    assert world.status(sync_id) == "ready"
    assert preflight(context, sync_id) == plan
    enqueue(context, ask(sync_id))
    claim(context, "w", INSTANCE)
    with pytest.raises(NotEligible, match="is importing"):
        preflight(context, sync_id)


def test_a_batch_that_cannot_be_queued_is_refused_with_the_reason(world: World) -> None:
    context = world.context(mount={"settle_seconds": 0.001})
    with pytest.raises(NotFound):
        enqueue(context, ask(new_sync_id()))
    invalid = world.put(photo("a"), status="uploading")
    world.scan(context)
    with pytest.raises(NotEligible, match="expected \"completed\", got 'uploading'"):
        enqueue(context, ask(invalid))
    world.put(photo("a"), sync_id=invalid)
    assert enqueue(context, ask(invalid)).job.state is JobState.QUEUED


def test_the_claim_is_served_by_its_index(world: World) -> None:
    context = world.context()
    plan = context.db.read(job.explain_claim)
    assert plan[0][5] == "claim"
    assert "filesort" not in str(plan[0][-1])


def test_of_two_jobs_each_worker_finds_one(world: World) -> None:
    """A small table is what the server reads as a whole, and then locks as a whole, if it may choose."""
    context = world.context(queue={"auto": ["create"]})
    for name in "ab":
        world.put(photo(name))
    world.scan(context)
    assert Sweeper(context).queue_new() == 2
    with holding(world, job._sql.next_queued.sql):
        assert claim(context, "w/pid:1/0", "x") is not None


CHUNK = (
    "SELECT id FROM ingest_batch_item FORCE INDEX (by_ordinal) WHERE batch_id = {} AND in_manifest = 1 AND ordinal > 5"
    " AND decision IN ('pending') AND (asset_type = 'cover') = 0 ORDER BY ordinal LIMIT 500"
)


@pytest.mark.parametrize(
    ("query", "key"),
    [(CHUNK, "by_ordinal"), ("SELECT batch_id FROM ingest_batch_item WHERE waiting_for IS NOT NULL", "revival")],
)
def test_item_queries_have_their_index(world: World, query: str, key: str) -> None:
    context = world.context()
    world.import_all(context, world.put(*({"type": "photo", "hash": md5(str(i))} for i in range(300))))
    world.import_all(context, world.put(*({"type": "photo", "hash": md5(str(i))} for i in range(300))))
    world.sql("ANALYZE TABLE ingest_batch_item")
    plan = world.sql("EXPLAIN " + query.format(world.one("SELECT MAX(id) FROM ingest_batch")))
    assert plan[0][5] == key, plan
    assert "filesort" not in str(plan[0][-1])


def test_items_open_to_each_scope() -> None:
    assert "pending" in TAKEN_BY[Scope.ALL]
    assert "created" not in TAKEN_BY[Scope.ALL]
    assert TAKEN_BY[Scope.FAILED] == ("failed",)

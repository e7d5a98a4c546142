"""A job waits for the batch that its own follows, whichever was queued first; bulk queueing goes by version."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestd.pipeline import cancelling, delivery, ordering
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context, make_context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch, versions
from ingestd.store.db import Tx
from support.wait import stop_event
from support.world import World, md5, new_sync_id, photo

INSTANCE = str(this_instance())


def queue(context: Context, *sync_ids: str) -> list[str]:
    """Queues batches in this order; the state of each job."""
    return [enqueue(context, QueueRequest(sync_id, "tester")).job.state for sync_id in sync_ids]


def states(world: World, *sync_ids: str) -> list[str]:
    found = dict(
        world.sql("SELECT b.sync_id, j.state FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id")
    )
    return [found[sync_id] for sync_id in sync_ids]


def run_all(world: World, context: Context) -> list[str]:
    """Runs and promotes until nothing is left; the batches in the order in which they ended."""
    ended = []
    while (lease := claim(context, "w", INSTANCE)) or Sweeper(context).promote():
        if lease is not None:
            Run(context, lease, stop_event()).execute()
            ended.append(world.one("SELECT sync_id FROM ingest_batch WHERE id = %s", lease.batch_id))
    return ended


def pair(world: World, context: Context, **later: object) -> tuple[str, str]:
    """A batch, and a later one that names it as its prior."""
    first = world.put(photo("a"), day=1)
    second = world.put(photo("a", title="b"), day=2, prior_sync_id=first, **later)  # type: ignore[arg-type]
    world.scan(context)
    return first, second


def test_a_job_waits_also_when_it_was_queued_before_its_prior(world: World) -> None:
    context = world.context()
    first, second = pair(world, context)
    assert queue(context, second, first) == ["queued", "queued"]
    assert states(world, first, second) == ["queued", "waiting"]
    assert world.events(second)[-1][0] == "job_waiting"
    assert world.status(second) == "queued"
    assert run_all(world, context) == [first, second]


def test_a_removal_queued_before_what_it_removes_runs_after_it(world: World) -> None:
    context = world.context(queue={"removal_limit": 5})
    names = [f"p{number}" for number in range(12)]
    created = world.put(*map(photo, names), day=1)
    gone = [{"type": "photo", "hash": md5(name)} for name in names[:10]]
    removal = world.put(*gone, action="remove", day=2, prior_sync_id=created)
    world.scan(context)
    queue(context, removal, created)
    assert run_all(world, context) == [created, removal]
    assert world.one("SELECT COUNT(*) FROM asset WHERE deleted_at IS NULL") == 12


def test_a_job_that_runs_already_goes_on(world: World) -> None:
    context = world.context()
    first, second = pair(world, context)
    queue(context, second)
    assert claim(context, "w", INSTANCE) is not None
    assert queue(context, first) == ["queued"]
    assert states(world, first, second) == ["queued", "running"]


def test_a_job_that_is_put_back_waits_for_a_prior_queued_meanwhile(world: World) -> None:
    context = world.context()
    first, second = pair(world, context)
    queue(context, second)
    lease = claim(context, "w", INSTANCE)
    assert lease is not None
    queue(context, first)
    stopping = stop_event()
    stopping.set()
    assert Run(context, lease, stopping).execute() == "released"
    assert states(world, first, second) == ["queued", "waiting"]


def test_a_job_that_is_reset_waits_for_a_prior_queued_meanwhile(world: World) -> None:
    context = world.context()
    first, second = pair(world, context)
    queue(context, second)
    assert claim(context, "w", INSTANCE) is not None
    queue(context, first)
    world.sql("UPDATE import_job SET heartbeat_at = heartbeat_at - INTERVAL 1 DAY WHERE state = 'running'")
    assert Rescuer(context, this_instance(), lambda: None).reset_stale() == 1
    assert states(world, first, second) == ["queued", "waiting"]


def test_the_end_of_a_job_queues_those_that_waited_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sweep is needed for a chain; only where many wait for one job, the others are left to it."""
    monkeypatch.setattr(ordering, "MAX_SUCCESSORS", 2)
    context = world.context()
    first = world.put(photo("a"), day=1)
    others = [world.put(photo(str(number)), day=2, prior_sync_id=first) for number in range(3)]
    world.scan(context)
    for sync_id in (*others, first):
        enqueue(context, QueueRequest(sync_id, "tester"))
    states = "SELECT GROUP_CONCAT(state ORDER BY id SEPARATOR ' ') FROM import_job WHERE %s"
    assert world.run_next(context) == "done"
    assert world.one(states, 1) == "queued queued waiting done"
    assert [kind for kind, _ in world.events(others[0])].count("job_promoted") == 1
    assert Sweeper(context).promote() == 1
    assert world.one(states, 1) == "queued queued queued done"


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_so_does_one_that_fails(world: World, outcome: str) -> None:
    context = world.context()
    first = world.put(photo("a"), day=1)
    second = world.put(photo("b"), day=2, prior_sync_id=first)
    world.scan(context)
    for sync_id in (first, second):
        enqueue(context, QueueRequest(sync_id, "tester"))
    if outcome == "failed":
        (world.root / f"sync/{first}.json").write_bytes(b"{}")
    assert [world.run_next(context) for _ in range(2)] == [outcome, "done"]


def test_a_newer_prior_is_not_waited_for(world: World) -> None:
    context = world.context()
    newer = world.put(photo("a"), day=3)
    older = world.put(photo("b"), day=2, prior_sync_id=newer)
    world.scan(context)
    assert queue(context, newer, older) == ["queued", "queued"]
    cancelling.cancel(context, newer, "tester")
    assert queue(context, newer) == ["queued"]
    assert states(world, older) == ["queued"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_chain_of_one_time_runs_from_its_beginning(world: World, order: tuple[int, ...]) -> None:
    context = world.context()
    chain: list[str] = []
    for sync_id in sorted((new_sync_id() for _ in range(3)), reverse=True):  # against the order of sync_ids
        chain.append(world.put(photo(sync_id), sync_id=sync_id, prior_sync_id=chain[-1] if chain else None))
    world.scan(context)
    queue(context, *(chain[place] for place in order))
    assert run_all(world, context) == chain


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_batches_that_follow_each_other_in_a_circle_all_run(world: World, size: int) -> None:
    context = world.context()
    circle = [new_sync_id() for _ in range(size)]
    for place, sync_id in enumerate(circle):
        world.put(photo(sync_id), sync_id=sync_id, prior_sync_id=circle[place - 1])
    world.scan(context)
    queue(context, *circle)
    assert sorted(run_all(world, context)) == sorted(circle)


def test_a_chain_longer_than_the_limit_all_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MAX_GENERATION", 3)
    context = world.context()
    chain: list[str] = []
    for number in range(6):
        chain.append(world.put(photo(str(number)), prior_sync_id=chain[-1] if chain else None))
    world.scan(context)
    queue(context, *reversed(chain))
    assert sorted(run_all(world, context)) == sorted(chain)


def test_two_that_queue_a_pair_at_once_keep_its_order(world: World) -> None:
    context = world.context()
    for number in range(8):
        first = world.put(photo(f"a{number}"), day=1)
        second = world.put(photo(f"a{number}", title="b"), day=2, prior_sync_id=first)
        world.scan(context)
        with ThreadPoolExecutor(2) as pool:
            contexts = [make_context(context.settings) for _ in range(2)]
            list(pool.map(queue, contexts, (second, first)))
        assert states(world, first, second) == ["queued", "waiting"]
        for used in contexts:
            used.mount.close()


def test_the_daemon_queues_by_version(world: World) -> None:
    context = world.context(queue={"auto": ["create"]})
    newest = world.put(photo("c"), day=3)
    first, second = sorted((new_sync_id(), new_sync_id()), reverse=True)
    world.put(photo("b"), sync_id=second, day=2, prior_sync_id=first)
    world.put(photo("b"), sync_id=first, day=2)
    oldest = world.put(photo("a"), day=1)
    world.scan(context)
    assert Sweeper(context).queue_new() == 4
    assert queued_in_order(world) == [oldest, first, second, newest]


def test_places_by_version_keep_what_is_unknown_for_the_end(world: World) -> None:
    context = world.context()
    old, new = world.put(photo("a"), day=1), world.put(photo("b"), day=2)
    invalid = world.put(photo("c"), status="uploading")
    world.scan(context)
    assert ordering.oldest_first(context, ["ü", new, invalid, old, new]) == [3, 1, 4, 0, 2]
    assert ordering.oldest_first(context, []) == []


def test_batches_that_others_hold_come_last(world: World) -> None:
    context, holder = world.context(), world.context()
    first, second, third = (world.put(photo(str(day)), day=day) for day in (1, 2, 3))
    world.scan(context)
    connection = holder.db.connection()
    connection.begin()
    batch.lock(Tx(connection), first)
    assert ordering.oldest_first(context, ["ü", third, first, second]) == [3, 1, 0, 2]
    connection.rollback()
    assert ordering.oldest_first(context, ["ü", third, first, second]) == [2, 3, 1, 0], "and it holds none itself"


def queued_in_order(world: World) -> list[str]:
    rows = world.sql("SELECT b.sync_id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id")
    return [sync_id for (sync_id,) in rows]


# bundles that are delivered again while they are queued


def redeliver(context: Context, sync_id: str) -> None:
    assert delivery.record(context, delivery.read(context, sync_id))


def test_a_batch_that_names_a_prior_when_delivered_again_waits_for_it(world: World) -> None:
    context, prior, late = world.context(), world.put(photo("a"), day=1), world.put(photo("b"), day=2)
    world.scan(context)
    assert queue(context, late, prior) == ["queued", "queued"]
    world.put(photo("b"), sync_id=late, day=2, prior_sync_id=prior)
    redeliver(context, late)
    assert states(world, late, prior) == ["waiting", "queued"]
    assert run_all(world, context) == [prior, late]


def test_a_prior_that_is_older_when_delivered_again_is_waited_for(world: World) -> None:
    context, prior = world.context(), world.put(photo("a"), day=3)
    late = world.put(photo("b"), day=2, prior_sync_id=prior)
    world.scan(context)
    assert queue(context, late, prior) == ["queued", "queued"]
    world.put(photo("a"), sync_id=prior, day=1)
    redeliver(context, prior)
    assert states(world, late, prior) == ["waiting", "queued"]
    assert run_all(world, context) == [prior, late]


def test_a_prior_that_is_newer_when_delivered_again_is_not_waited_for(world: World) -> None:
    context, prior = world.context(), world.put(photo("a"), day=1)
    late = world.put(photo("b"), day=2, prior_sync_id=prior)
    world.scan(context)
    assert queue(context, prior, late) == ["queued", "waiting"]
    world.put(photo("a"), sync_id=prior, day=3)
    redeliver(context, prior)
    Sweeper(context).promote()
    assert states(world, prior, late) == ["queued", "queued"]

"""Many new batches are queued in one transaction, in order of version; what concerns others is queued by itself."""

import random
import threading

import pytest

from ingestd.pipeline import new_batches
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import FIRST_HELD_PAUSE, SWEEP_INTERVAL, Sweeper
from support.locks import LOCK_WAITS, holding
from support.scale import scaled
from support.statements import commits, questions
from support.wait import until
from support.world import World, empty, photo


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create"]})


def id_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def queued(world: World) -> list[str]:
    rows = world.sql(
        "SELECT b.sync_id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE %s ORDER BY j.id", 1
    )
    return [sync_id for (sync_id,) in rows]


def put(world: World, *days: int) -> list[str]:
    return [world.put(photo(f"{day}"), day=day) for day in days]


def test_they_take_one_transaction_and_few_statements(world: World, context: Context) -> None:
    put(world, *range(1, 21))
    world.scan(context)
    Sweeper(context).promote_and_requeue()  # on the connection that is used afterwards
    before = commits(world), questions(world)
    assert Sweeper(context).queue_new() == 20
    assert commits(world) - before[0] == 1
    assert questions(world) - before[1] <= 20


def test_several_are_in_order_of_version(world: World, context: Context) -> None:
    first, second, third = put(world, 3, 1, 2)
    world.scan(context)
    assert Sweeper(context).queue_new() == 3
    assert queued(world) == [second, third, first]
    for sync_id in (first, second, third):
        assert world.status(sync_id) == "queued"
        assert [kind for kind, _ in world.events(sync_id)] == ["scan", "job_queued"]


def test_those_that_follow_or_are_followed_wait_as_ever(world: World, context: Context) -> None:
    first = world.put(photo("a"), ready=False)
    follower = world.put(photo("b"), prior_sync_id=first, day=2)
    world.scan(context)
    enqueue(context, QueueRequest(follower, "tester"))
    (world.root / "sync" / f"{first}.ready").touch()
    others = put(world, 3, 4)
    last = world.put(photo("c"), prior_sync_id=others[0], day=5)
    world.scan(context)
    assert Sweeper(context).queue_new() == 4
    states = dict(world.sql("SELECT b.sync_id, j.state FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"))
    assert states == {follower: "waiting", first: "queued", others[0]: "queued", others[1]: "queued", last: "waiting"}


def test_a_chain_takes_one_transaction_and_few_statements(world: World, context: Context) -> None:
    names: list[str | None] = [None]
    for day in range(1, 21):
        names.append(world.put(photo(f"{day}"), day=day, prior_sync_id=names[-1]))
    world.scan(context)
    Sweeper(context).promote_and_requeue()
    before = commits(world), questions(world)
    assert Sweeper(context).queue_new() == 20
    assert commits(world) - before[0] == 1
    assert questions(world) - before[1] <= 20
    assert world.sql("SELECT state, COUNT(*) FROM import_job GROUP BY 1 ORDER BY 1") == [("queued", 1), ("waiting", 19)]
    assert queued(world) == names[1:]


@pytest.mark.parametrize("seed", range(scaled(4, 40)))
def test_many_are_queued_as_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever their times and priors are, and whichever have jobs before."""
    found = []
    for together in (1, 100):
        empty(world)
        for name in (world.root / "sync").iterdir():
            name.unlink()
        monkeypatch.setattr(new_batches, "MAX_TOGETHER", together)
        dice = random.Random(seed)
        context = world.context(queue={"auto": ["create"]})
        numbers = dice.sample(range(1, 25), 24)
        for part in (numbers[:8], numbers[8:]):
            for number in part:
                prior = id_of(dice.choice([number - 1, dice.randrange(1, 25)]))
                world.put(photo(f"{number}"), sync_id=id_of(number), prior_sync_id=prior, day=dice.randrange(1, 4))
            world.scan(context)
            Sweeper(context).queue_new()
        jobs = world.sql("SELECT sync_id, state FROM import_job j JOIN ingest_batch b ON b.id = batch_id ORDER BY j.id")
        events = {id_of(number): [kind for kind, _ in world.events(id_of(number))] for number in numbers}
        statuses = world.sql("SELECT sync_id, status, lacks_job FROM ingest_batch ORDER BY 1")
        found.append((jobs, events, statuses))
    assert found[0] == found[1]
    assert {state for _, state in found[0][0]} == {"queued", "waiting"}


def test_a_prior_that_a_worker_holds_is_waited_for(world: World, context: Context) -> None:
    first = world.put(photo("a"))
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    others = [world.put(photo("b"), day=2, prior_sync_id=first), world.put(photo("c"), day=3, prior_sync_id=first)]
    world.scan(context)
    with holding(world, "SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", first) as cursor:
        sweep = threading.Thread(target=Sweeper(context).queue_new)
        sweep.start()
        until(lambda: int(world.one(LOCK_WAITS)) > 0, what="for the sweep to wait")
        cursor.execute("UPDATE import_job SET state = 'done'")
    sweep.join()
    assert queued(world) == [first, *others]
    assert world.sql("SELECT state FROM import_job ORDER BY id") == [("done",), ("queued",), ("queued",)]


def test_what_others_hold_is_looked_at_again_soon(world: World, context: Context) -> None:
    first, second, third = put(world, 1, 2, 3)
    world.scan(context)
    sweeper = Sweeper(context)
    with holding(world, "SELECT id FROM ingest_batch WHERE sync_id IN (%s, %s) FOR UPDATE", first, second):
        pauses = [sweeper.enqueue_new() for _ in range(10)]
        assert pauses[:3] == [FIRST_HELD_PAUSE, 2 * FIRST_HELD_PAUSE, 4 * FIRST_HELD_PAUSE]
        assert pauses[-1] == SWEEP_INTERVAL
    assert sweeper.enqueue_new() == SWEEP_INTERVAL
    assert queued(world) == [third, first, second]


def test_a_cancelled_one_stays_cancelled(world: World, context: Context) -> None:
    first, second, third = put(world, 1, 2, 3)
    world.scan(context)
    enqueue(context, QueueRequest(first, "tester"))
    cancel(context, first, "tester")
    assert new_batches.queue(context, [first, second, third]) == ({second, third}, set())
    assert Sweeper(context).queue_new() == 0


def test_one_that_another_client_holds_delays_no_other(world: World, context: Context) -> None:
    first, second, third = put(world, 1, 2, 3)
    world.scan(context)
    with holding(world, "SELECT id FROM ingest_batch WHERE sync_id = %s FOR UPDATE", first):
        assert Sweeper(context).queue_new() == 2
    assert Sweeper(context).queue_new() == 1
    assert queued(world) == [second, third, first]


def test_two_hosts_queue_each_once(world: World) -> None:
    sync_ids, together = put(world, *range(1, 29)), threading.Barrier(2)
    world.scan(world.context())

    def host() -> None:
        context = world.context(queue={"auto": ["create"]})
        together.wait()
        Sweeper(context).queue_new()

    hosts = [threading.Thread(target=host) for _ in range(2)]
    for thread in hosts:
        thread.start()
    for thread in hosts:
        thread.join()
    Sweeper(world.context(queue={"auto": ["create"]})).queue_new()  # what one held while the other looked
    assert sorted(queued(world)) == sorted(sync_ids)

"""Many new batches are queued in one transaction, in order of version; what concerns others is queued by itself."""

import threading

import pytest

from ingestd.pipeline import new_batches
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.locks import holding
from support.statements import commits, questions
from support.world import World, photo


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"auto": ["create"]})


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


def test_a_cancelled_one_stays_cancelled(world: World, context: Context) -> None:
    first, second, third = put(world, 1, 2, 3)
    world.scan(context)
    enqueue(context, QueueRequest(first, "tester"))
    cancel(context, first, "tester")
    assert new_batches.queue(context, [first, second, third]) == {second, third}
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

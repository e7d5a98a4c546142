"""New bundles that were read by the same time are recorded, and queued, in one transaction."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from ingestd.errors import Unavailable
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.lanes import Outcome, Task
from ingestd.pipeline.names import Names
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.recording import Recorder
from ingestd.pipeline.sweeps import Sweeper
from support.locks import holding
from support.statements import commits, questions
from support.world import World, new_sync_id, photo

MANY = 20


class Site:
    """One host, whose manifests are read at once."""

    def __init__(self, context: Context) -> None:
        self.context, self.names = context, Names()
        self.wakes: list[int] = []
        self.recorder = Recorder(context, self.names, self.wakes.append)
        self.recorder.stuck.load()  # as a full scan does first; it connects

    def handle(self, *sync_ids: str) -> None:
        self.recorder.handle([Outcome(Task(one, None), delivery.read(self.context, one)) for one in sync_ids])


@pytest.fixture
def site(world: World) -> Site:
    return Site(world.context(queue={"auto": ["create"]}))


def put(world: World, *days: int) -> list[str]:
    return [world.put(photo(f"{day}"), day=day) for day in days]


def events_of(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def batches(world: World) -> list[str]:
    return [sync_id for (sync_id,) in world.sql("SELECT sync_id FROM ingest_batch ORDER BY id")]


def queued(world: World) -> list[str]:
    rows = world.sql("SELECT b.sync_id FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id ORDER BY j.id")
    return [sync_id for (sync_id,) in rows]


def test_they_take_one_transaction_few_statements_and_one_wake_up(world: World, site: Site) -> None:
    sync_ids = put(world, *range(1, MANY + 1))
    looks = -(questions(world) - questions(world))
    before = commits(world), questions(world)
    site.handle(*sync_ids)
    assert questions(world) - before[1] == 6 + looks
    assert commits(world) - before[0] == 1
    assert site.wakes == [MANY], "all of them wake the workers once"
    assert {world.status(sync_id) for sync_id in sync_ids} == {"queued"}


def test_batches_are_in_order_of_discovery_and_jobs_in_order_of_version(world: World, site: Site) -> None:
    first, second, third = put(world, 3, 1, 2)
    site.handle(first, second, third)
    assert batches(world) == [first, second, third]
    assert queued(world) == [second, third, first]
    for sync_id in (first, second, third):
        assert events_of(world, sync_id) == ["scan", "job_queued"]
    assert world.one("SELECT manifest_summary FROM ingest_batch WHERE sync_id = %s", first).startswith("{")
    assert Sweeper(site.context).queue_new() == 0


def test_those_that_follow_or_are_followed_are_left_to_the_sweep(world: World, site: Site) -> None:
    first, follower = new_sync_id(), new_sync_id()
    world.put(photo("b"), prior_sync_id=first, day=2, sync_id=follower)
    site.handle(follower)
    enqueue(site.context, QueueRequest(follower, "tester"))
    world.put(photo("a"), sync_id=first)
    other, last = world.put(photo("c")), new_sync_id()
    world.put(photo("d"), prior_sync_id=other, day=3, sync_id=last)
    site.handle(first, other, last)
    assert [world.status(sync_id) for sync_id in (first, other, last)] == ["new", "queued", "new"]
    assert site.recorder.recorded.unqueued == 3
    assert Sweeper(site.context).queue_new() == 2
    assert events_of(world, follower)[-1] == "job_waiting"


def test_one_that_is_refused_delays_no_other(world: World, site: Site) -> None:
    sync_ids = put(world, 1, 2, 3)
    world.sql(
        f"CREATE TRIGGER refusal BEFORE INSERT ON ingest_batch FOR EACH ROW IF NEW.sync_id = '{sync_ids[1]}' THEN"
        " SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = 'Out of range'; END IF"
    )
    try:
        site.handle(*sync_ids)
    finally:
        world.sql("DROP TRIGGER refusal")
    assert batches(world) == [sync_ids[0], sync_ids[2]]
    assert site.recorder.stuck.names == {sync_ids[1]}


def test_one_that_another_host_records_meanwhile_delays_no_other(world: World, site: Site) -> None:
    sync_ids = put(world, 1, 2, 3)
    inserting = "INSERT INTO ingest_batch (sync_id, status, discovered_at) VALUES (%s, 'new', UTC_TIMESTAMP(6))"
    with holding(world, inserting, sync_ids[1]):
        site.handle(*sync_ids)
    assert site.recorder.locked.names == {sync_ids[1]}
    assert site.recorder.recorded.changed == [sync_ids[0], sync_ids[2]]
    assert site.recorder.recorded.unqueued == 2


def test_one_that_another_host_has_recorded_is_left_as_it_is(world: World, site: Site) -> None:
    sync_ids = put(world, 1, 2, 3)
    Site(site.context).handle(sync_ids[1])
    before = commits(world)
    site.handle(*sync_ids)
    assert commits(world) - before == 2, "the others together, and that one by itself"
    assert batches(world) == [sync_ids[1], sync_ids[0], sync_ids[2]]
    for sync_id in sync_ids:
        assert events_of(world, sync_id) == ["scan", "job_queued"]


def test_one_from_the_future_is_invalid_and_queued_when_its_time_has_come(world: World, site: Site) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late, other = world.put(photo("a"), completed_at=ahead), world.put(photo("b"))
    site.handle(late, other)
    assert (world.status(late), world.status(other)) == ("invalid", "queued")
    assert events_of(world, late) == ["scan", "batch_invalid"]
    world.sql("UPDATE ingest_batch SET manifest_completed_at = UTC_TIMESTAMP(6) WHERE sync_id = %s", late)
    tolerant = world.context(queue={"auto": ["create"]}, mount={"max_future": 90 * 86400.0})
    Site(tolerant).handle(late)
    assert Sweeper(tolerant).queue_new() == 1
    assert events_of(world, late)[-2:] == ["batch_valid", "job_queued"]


def test_what_an_outage_leaves_is_read_again(world: World, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_ids = put(world, 1, 2, 3)
    outcomes = [Outcome(Task(one, None), delivery.read(site.context, one)) for one in sync_ids]

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(site.context.db, "transaction", fail)
    with pytest.raises(Unavailable):
        site.recorder.handle(outcomes)
    assert sorted(site.names.take(10)) == sorted(sync_ids)


def test_two_hosts_record_each_once(world: World) -> None:
    sync_ids, together = put(world, *range(1, MANY + 1)), threading.Barrier(2)
    sites = [Site(world.context(queue={"auto": ["create"]})) for _ in range(2)]

    def run(site: Site, names: list[str]) -> None:
        together.wait()
        site.handle(*names)

    threads = [
        threading.Thread(target=run, args=(site, names))
        for site, names in zip(sites, (sync_ids, sync_ids[::-1]), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(batches(world)) == sorted(sync_ids)
    Sweeper(sites[0].context).queue_new()  # what one host recorded by itself, while the other held some
    for sync_id in sync_ids:
        assert events_of(world, sync_id) == ["scan", "job_queued"]

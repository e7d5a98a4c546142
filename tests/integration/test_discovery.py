"""A new bundle is queued in the transaction that records it, unless it concerns others: those are left to the sweep."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, photo

AUTO = {"auto": ["create"]}


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue=AUTO)


def scan(context: Context) -> int:
    """Scans once; returns how many jobs were queued with the recording."""
    queued: list[int] = []
    Scanner(context, on_queued=queued.append).scan()
    return sum(queued)


def events_of(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def test_it_is_queued_with_its_recording(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"))
    assert scan(context) == 1
    assert world.status(sync_id) == "queued"
    assert events_of(world, sync_id) == ["scan", "job_queued"]
    assert Sweeper(context).queue_new() == 0
    assert world.run_next(context) == "done"
    assert world.one("SELECT requested_by FROM import_job WHERE %s", 1) == "ingestd"


def test_the_sweep_hears_of_what_is_left_to_it_only(world: World, context: Context) -> None:
    reports: list[str] = []
    scanner = Scanner(context, lambda: reports.append("recorded"), lambda _jobs: reports.append("queued"))
    world.put(photo("a"))
    scanner.scan()
    assert reports == ["queued"]
    world.put(photo("b"), action="remove")
    scanner.scan()
    assert reports == ["queued", "recorded"]


@pytest.mark.parametrize("envelope", [{"action": "remove"}, {"prior_sync_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12}])
def test_what_is_not_for_it_is_only_recorded(world: World, context: Context, envelope: dict[str, str]) -> None:
    sync_id = world.put(photo("a"), **envelope)  # type: ignore[arg-type]
    assert scan(context) == 0
    assert events_of(world, sync_id) == ["scan"]
    assert world.status(sync_id) == "new"


def test_one_that_queued_bundles_follow_is_left_to_the_sweep(world: World, context: Context) -> None:
    first = world.put(photo("a"), ready=False)
    follower = world.put(photo("b"), prior_sync_id=first, day=2)
    world.scan(context)
    enqueue(context, QueueRequest(follower, "tester"))
    (world.root / "sync" / f"{first}.ready").touch()
    assert scan(context) == 0
    assert world.status(first) == "new"
    assert Sweeper(context).queue_new() == 1
    assert events_of(world, follower)[-1] == "job_waiting"


def test_one_from_the_future_is_invalid_and_not_queued(world: World, context: Context) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sync_id = world.put(photo("a"), completed_at=ahead)
    assert scan(context) == 0
    assert world.status(sync_id) == "invalid"
    assert events_of(world, sync_id) == ["scan", "batch_invalid"]
    assert world.one("SELECT invalid_basis FROM ingest_batch WHERE sync_id = %s", sync_id) == "time"


def test_a_host_without_the_hook_queues_nothing(world: World, context: Context) -> None:
    sync_id = world.put(photo("a"))
    world.scan(context)
    assert world.status(sync_id) == "new"


def test_two_hosts_that_find_it_at_once_record_it_once(world: World) -> None:
    sync_id, together = world.put(photo("a")), threading.Barrier(2)

    def host() -> None:
        context = world.context(queue=AUTO)
        together.wait()
        scan(context)

    hosts = [threading.Thread(target=host) for _ in range(2)]
    for thread in hosts:
        thread.start()
    for thread in hosts:
        thread.join()
    assert events_of(world, sync_id) == ["scan", "job_queued"]

"""Other clients hold the connections of the server: a run goes on with the one it has, or waits and keeps its job."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestd.embedded import EmbeddedMariaDB
from ingestd.model import Lease
from ingestd.pipeline import staging
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.hogs import full_server, server_of, small_world_of
from support.wait import stop_event, until
from support.world import World, cover, md5, photo

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ITEMS = 60
GALLERY = {"type": "gallery", "hash": md5("g"), "title": "g", "items": [md5("p1"), md5("p2")]}


@pytest.fixture(scope="module")
def small_server() -> Iterator[EmbeddedMariaDB]:
    with server_of(10) as server:
        yield server


@pytest.fixture
def small_world(world: World, small_server: EmbeddedMariaDB) -> Iterator[World]:
    with small_world_of(world, small_server) as made:
        yield made


def claimed(world: World, context: Context, *, planned: bool = True) -> Lease:
    """A claimed job of many chunks of items, covers and a container."""
    photos = [photo(f"p{number}", files=0) for number in range(ITEMS)]
    covers = [cover(f"c{number}", f"p{number}") for number in range(ITEMS)]
    sync_id = world.put(*photos, *covers, containers=[GALLERY])
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    if not planned:
        world.sql("UPDATE ingest_batch SET plan_sha256 = NULL WHERE %s", 1)
    lease = claim(context, "w", str(this_instance()))
    assert lease is not None
    return lease


def demand_one_complete_run(world: World) -> None:
    assert world.sql("SELECT status, failure_count FROM ingest_batch WHERE %s", 1) == [("imported", 0)]
    assert world.sql("SELECT claim_token, release_count, reset_count FROM import_job WHERE %s", 1) == [(1, 0, 0)]
    counts = dict(world.sql("SELECT event_type, COUNT(*) FROM ingest_event WHERE %s GROUP BY 1", 1))
    assert (counts["job_claimed"], counts["import_started"], counts["job_finished"]) == (1, 1, 1)
    assert counts["item_created"] == counts["item_linked"] == ITEMS


def test_a_run_goes_on_when_there_is_no_connection_to_read_ahead(small_world: World) -> None:
    context = small_world.context(worker={"chunk_items": 5})
    lease = claimed(small_world, context)
    with full_server(small_world):
        assert Run(context, lease, stop_event()).execute() == "done"
    demand_one_complete_run(small_world)


def test_a_run_plans_when_there_is_no_connection_to_forecast_ahead(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "ENTRIES_PER_STEP", 7)
    context = small_world.context(worker={"chunk_items": 5})
    lease = claimed(small_world, context, planned=False)
    with full_server(small_world):
        assert Run(context, lease, stop_event()).execute() == "done"
    demand_one_complete_run(small_world)


def test_reading_ahead_is_taken_up_again(small_world: World) -> None:
    """The connections come free in the middle of the run."""
    context = small_world.context(worker={"chunk_items": 1})
    lease = claimed(small_world, context)
    with full_server(small_world) as hogs:
        read, done = context.db.read, []

        def counted(work: object, **options: object) -> object:
            done.append(1)
            if len(done) == 30:
                hogs.release()
            return read(work, **options)  # type: ignore[arg-type]

        context.db.read = counted  # type: ignore[method-assign,assignment]
        assert Run(context, lease, stop_event()).execute() == "done"
    demand_one_complete_run(small_world)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_that_lost_its_connection_waits_and_keeps_its_job(small_world: World, threads: int) -> None:
    context = small_world.context(worker={"chunk_items": 1})
    lease = claimed(small_world, context)
    context.db.close()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(Run(context, lease, stop_event()).execute)
        until(lambda: small_world.one("SELECT items_done FROM import_job") > threads)
        with full_server(small_world, also_own=True):
            events = "SELECT COUNT(*) FROM ingest_event"
            known, errors = small_world.one(events), context.db.errors["connection"]
            progress_at = lease.progress_at
            until(lambda: context.db.errors["connection"] > errors + 4)
            assert small_world.one(events) == known
            assert lease.progress_at > progress_at, "its heartbeats go on"
            assert not ended.done()
        assert ended.result(30) == "done"
    demand_one_complete_run(small_world)


def test_a_run_that_waits_for_a_connection_ends_when_the_daemon_stops(small_world: World) -> None:
    context, stopping = small_world.context(worker={"chunk_items": 1}), stop_event()
    lease = claimed(small_world, context)
    context.db.close()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(Run(context, lease, stopping).execute)
        until(lambda: small_world.one("SELECT items_done FROM import_job") > 1)
        with full_server(small_world, also_own=True):
            errors = context.db.errors["connection"]
            until(lambda: context.db.errors["connection"] > errors + 2)
            stopping.set()
            outcome = ended.result(15)
    # It is given back if a connection is free just then, and otherwise left to the daemon that starts next.
    assert small_world.one("SELECT state FROM import_job") == {"lost": "running", "released": "queued"}[outcome]

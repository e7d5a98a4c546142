"""An account that may have few connections: fewer than the daemon has threads. Everything is imported."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.app import Daemon
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.wait import until
from support.world import World, photo


@contextmanager
def limited(world: World, resource: str, count: int) -> Iterator[None]:
    world.sql(f"ALTER USER ingestd@localhost WITH {resource} {count}")
    try:
        yield
    finally:
        world.sql(f"ALTER USER ingestd@localhost WITH {resource} 0")


@pytest.mark.parametrize(("count", "threads"), [(10, 4), (6, 8), (2, 4)])
def test_jobs_wait_for_connections_and_none_fails(world: World, count: int, threads: int) -> None:
    context = world.context()
    sync_ids = [world.put(*(photo(f"{bundle}-{number}") for number in range(30))) for bundle in range(12)]
    world.scan(context)
    for sync_id in sync_ids:
        enqueue(context, QueueRequest(sync_id, "tester"))
    context.db.close()
    with limited(world, "MAX_USER_CONNECTIONS", count):
        daemon = Daemon(world.settings(worker={"threads": threads, "chunk_items": 10}))
        daemon.start()
        try:
            until(lambda: world.one("SELECT COUNT(*) FROM ingest_batch WHERE status = 'imported'") == 12)
        finally:
            daemon.stop()
    assert world.sql("SELECT DISTINCT state, reset_count FROM import_job WHERE %s", 1) == [("done", 0)]
    assert world.one("SELECT COUNT(*) FROM asset WHERE %s", 1) == 360

"""Heartbeats: sent while a job makes progress."""

import time
from typing import Any

import pytest

from ingestd.model import Lease, Scope
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.heartbeat import Heartbeat
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import item
from support.claimed import ME, queued
from support.steps import in_steps
from support.wait import stop_event
from support.world import World, md5, sample


def heart_of(world: World, *leases: Lease) -> tuple[Heartbeat, Context]:
    context = world.context(worker={"stale_after": 90.0, "heartbeat_interval": 7.0})
    return Heartbeat(context, lambda: leases, list), context


def age(world: World) -> float:
    """Seconds since the last heartbeat."""
    return float(world.one("SELECT TIMESTAMPDIFF(MICROSECOND, heartbeat_at, UTC_TIMESTAMP(6)) / 1e6 FROM import_job"))


def silent_lease(world: World) -> Lease:
    """A lease whose heartbeat is 100 s old in the database."""
    context = world.context()
    queued(world, context)
    lease = claim(context, "w", str(ME))
    assert lease is not None
    world.sql("UPDATE import_job SET heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 100 SECOND")
    return lease


def test_heartbeats_go_on_while_a_job_progresses_and_stop_without_progress(world: World) -> None:
    lease = silent_lease(world)
    heartbeat, context = heart_of(world, lease)
    lease.progress_at = time.monotonic() - 31
    assert heartbeat.run_once() == 7.0
    assert age(world) >= 100, "no progress for a third of stale_after: it does not beat"
    assert sample(context, "heartbeats_total", result="ok") == 0
    lease.progress_at = time.monotonic() - 29
    heartbeat.run_once()
    assert age(world) < 10
    assert sample(context, "heartbeats_total", result="ok") == 1


def test_no_heartbeat_for_a_job_that_was_taken_away(world: World) -> None:
    lease = silent_lease(world)
    lease.progress_at = time.monotonic()
    world.sql("UPDATE import_job SET claim_token = claim_token + 1")
    gone = Lease(10**9, lease.batch_id, 1, "w", Scope.ALL, progress_at=time.monotonic())
    heartbeat, context = heart_of(world, gone, lease)
    heartbeat.run_once()
    assert age(world) >= 100
    assert sample(context, "heartbeats_total", result="error") == 2


def test_bytes_read_are_progress_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow item: nothing is written, but what is read of it keeps the heart going."""
    context = world.context(mount={"verify": "sha256"})
    entry = {"type": "photo", "hash": md5("a"), "path": "photo/a",
             "files": [{"variant": "original", "path": "a.jpg", "bytes": 10}]}  # fmt: skip
    sync_id = world.put(entry)
    world.file("photo/a/source/data/photo.meaning.json", b'{"a": 1}')
    world.scan(world.context())  # another host, so that the run itself reads the item
    enqueue(context, QueueRequest(sync_id, "tester"))
    lease = claim(context, "w", str(ME))
    assert lease is not None
    seen: list[float] = []
    real = chunk_writer.write_library

    def views(*args: Any) -> Any:
        seen.append(lease.progress_at)
        return real(*args)

    real_prepare = item.chunk

    def aging(*args: Any, **options: Any) -> Any:
        lease.progress_at = -1.0
        return real_prepare(*args, **options)

    monkeypatch.setattr(chunk_writer, "write_library", views)
    monkeypatch.setattr(item, "chunk", aging)
    with in_steps():
        assert Run(context, lease, stop_event()).execute() == "done"
    assert len(seen) == 1
    assert seen[0] > 0, "reading the item moved it"
    assert sample(context, "documents_read_bytes_total") > 0


@pytest.mark.parametrize(("interval", "stale_after"), [(15.0, 6.0), (60.0, 3.0), (1.0, 1.0), (15.0, 59.0)])
def test_heartbeats_come_often_enough_whatever_is_configured(world: World, interval: float, stale_after: float) -> None:
    context = world.context(worker={"stale_after": stale_after, "heartbeat_interval": interval})
    assert Heartbeat(context, list, list).run_once() <= stale_after / 4
    queued(world, context)
    assert claim(context, "w", str(ME)) is not None
    assert world.one("SELECT heartbeat_us <= stale_us / 4 FROM import_job") == 1

"""Manifests that are delivered again, before, during and after their import."""

from typing import Any

import pytest

from ingestd.pipeline import rotation
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import chunk_writer
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rotation import RotationStep
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_events
from support.scanning import Clock, Reads, kinds, write_manifest
from support.steps import in_steps
from support.world import World, md5, photo

BROKEN = [
    {"status": "running"},
    {"type": 5},
    {"verification": {"passed": False}},
    {"completed_at": "2999-01-01T00:00:00Z"},
]


def test_a_redelivery_is_noticed_by_the_rotation_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "MAX_GROUP", 1)
    notified: list[int] = []
    context = world.context()
    scanner, reads = Scanner(context, on_recorded=lambda: notified.append(1)), Reads(monkeypatch, context)
    sync_ids = sorted(world.put(photo(str(i)), status="completed" if i else "uploading") for i in range(5))
    scanner.run_once()
    invalid = str(world.one("SELECT sync_id FROM ingest_batch WHERE status = 'invalid'"))
    finished = next(sync_id for sync_id in sync_ids if sync_id != invalid)
    enqueue(context, QueueRequest(finished, "tester"))
    assert world.run_next(context) == "done"
    scanner.demand_full()
    scanner.run_once()
    reads.take()
    notified.clear()
    before = {sync_id: world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", sync_id)
              for sync_id in sync_ids}  # fmt: skip
    for sync_id in sync_ids:
        if sync_id in (invalid, finished):
            write_manifest(world, sync_id, photo("another"))
    step = RotationStep(context, scanner.rotation, scanner.is_busy, scanner.read_again)
    for _ in sync_ids:
        assert step.run_once() >= rotation.MIN_PAUSE
        scanner.run_once()
    assert sorted(reads.take()) == sorted([invalid, finished]), "the others were only compared"
    for sync_id in (invalid, finished):
        assert world.status(sync_id) == "new"
        after = world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", sync_id)
        assert world.events(sync_id)[-1] == (
            "manifest_changed", {"phase": "scan", "from_sha256": before[sync_id], "to_sha256": after},
        )  # fmt: skip
        assert after != before[sync_id]
        assert kinds(world, sync_id).count("manifest_changed") == 1
    assert len(notified) == 2
    others = set(sync_ids) - {invalid, finished}
    assert {tuple(kinds(world, sync_id)) for sync_id in others} == {("scan",)}


def test_what_a_redelivery_does_to_the_items(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("same"), photo("changed"), photo("gone"))
    world.import_all(context, sync_id)
    world.put(photo("new"), photo("changed", title="other"), photo("same"), sync_id=sync_id)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "new"
    assert world.decisions(sync_id) == {md5("new"): "pending", md5("changed"): "pending", md5("same"): "created"}
    listed = world.sql("SELECT asset_hash, in_manifest FROM ingest_batch_item WHERE decision = 'created' ORDER BY 2")
    assert listed == [(md5("gone"), 0), (md5("same"), 1)]
    assert world.scan(context) == []
    enqueue(context, QueueRequest(sync_id, "tester"))
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("new"): "created", md5("changed"): "updated", md5("same"): "created"}
    assert world.status(sync_id) == "imported"


def test_a_manifest_that_changes_while_its_job_runs_is_left_for_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, other = world.context(), world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    scanner = Scanner(other)
    real, meanwhile = chunk_writer.write, []

    def changing(*args: Any) -> Any:
        world.put(photo("b"), sync_id=sync_id)
        scanner.name({sync_id})
        scanner.run_once()
        meanwhile.append((scanner.scan(), world.status(sync_id), kinds(world, sync_id)[-1]))
        return real(*args)

    monkeypatch.setattr(chunk_writer, "write", changing)
    with in_steps():
        assert world.run_next(context) == "done"
    assert meanwhile == [([], "importing", "import_started")]
    assert world.status(sync_id) == "imported"
    assert world.decisions(sync_id) == {md5("a"): "created"}
    assert scanner.scan() == [sync_id]
    assert world.status(sync_id) == "new"
    assert world.decisions(sync_id) == {md5("b"): "pending"}
    assert kinds(world, sync_id)[-1] == "manifest_changed"


def test_a_manifest_that_changes_while_its_job_runs_is_read_again_soon_after(
    world: World, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    context = world.context()
    scanner = Scanner(world.context(mount={"rescan_interval": 1e6}))
    sync_id = world.put(photo("a"))
    scanner.scan()
    enqueue(context, QueueRequest(sync_id, "tester"))
    real = chunk_writer.write

    def changing(*args: Any) -> Any:
        world.put(photo("b"), sync_id=sync_id)
        scanner.name({sync_id})
        for _look in range(10):
            clock.now += 30
            scanner.run_once()
        return real(*args)

    monkeypatch.setattr(chunk_writer, "write", changing)
    with in_steps():
        assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
    clock.now += 30
    scanner.run_once()
    assert world.status(sync_id) == "new"
    assert (scanner.stuck, scanner.unrecorded) == (0, 0)


def test_a_manifest_that_changes_while_its_job_is_queued_is_imported_as_it_is_then(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    world.put(photo("b"), sync_id=sync_id)
    assert world.scan(context) == [sync_id]
    assert world.status(sync_id) == "queued", "its job is still there"
    world.put(photo("c"), sync_id=sync_id)
    lease = claim(context, "test/pid:1/0", str(this_instance()))
    assert lease is not None
    assert world.scan(context) == [], "its job runs: it will see for itself"
    world.sql("UPDATE import_job SET state = 'queued'")
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("c"): "created"}
    changes = [payload["phase"] for kind, payload in world.events(sync_id) if kind == "manifest_changed"]
    assert changes == ["scan", "import"]


def is_queued_by_sweep(world: World, context: Context) -> bool:
    world.scan(context)
    return Sweeper(context).queue_new() == 1


@pytest.mark.parametrize("broken", BROKEN)
def test_a_manifest_that_was_broken_when_its_job_ran_is_queued_again(world: World, broken: dict[str, Any]) -> None:
    context = world.context(queue={"auto": ["create"]})
    sync_id = world.put(photo("a"))
    assert is_queued_by_sweep(world, context)
    world.put(photo("a"), sync_id=sync_id, **broken)
    assert world.run_next(context) == "failed"
    assert world.status(sync_id) == "invalid"
    world.put(photo("a"), sync_id=sync_id)
    assert is_queued_by_sweep(world, context)
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
    assert not is_queued_by_sweep(world, context)


@pytest.mark.parametrize("days", [(1, 2), (1, 1), (2, 1)])
def test_each_delivery_is_queued_also_of_content_that_had_a_job(world: World, days: tuple[int, int]) -> None:
    context = world.context(queue={"auto": ["create"]})
    deliveries = [("A", days[0]), ("B", days[1])] * 3
    sync_id = world.put(photo("a", title="A"), day=days[0])
    for title, day in deliveries[1:]:
        assert is_queued_by_sweep(world, context)
        assert world.run_next(context) == "done"
        assert world.status(sync_id) == "imported"
        assert Sweeper(context).queue_new() == 0
        world.put(photo("a", title=title), day=day, sync_id=sync_id)


def test_a_failed_run_is_made_up_for_after_another_manifest_passed_by(world: World) -> None:
    context = world.context(queue={"auto": ["create"]})
    sync_id = world.put(photo("a"))
    assert is_queued_by_sweep(world, context)
    with refused_events(world, "import_started"):
        world.run_next(context)
    assert world.status(sync_id) == "failed"
    for status in ("running", "completed"):
        world.put(photo("a"), sync_id=sync_id, status=status)
        world.scan(context)
    assert Sweeper(context).queue_new() == 1
    assert world.run_next(context) == "done"


def test_a_delivery_of_what_was_cancelled_stays_cancelled(world: World) -> None:
    context = world.context(queue={"auto": ["create"]})
    sync_id = world.put(photo("a"))
    assert is_queued_by_sweep(world, context)
    cancel(context, sync_id, "olivia")
    for title in ("B", "A"):
        world.put(photo("a", title=title), sync_id=sync_id)
        assert not is_queued_by_sweep(world, context)

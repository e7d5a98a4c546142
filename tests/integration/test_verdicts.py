"""Verdicts about a moment: what an invalid batch rests on, and what makes it valid without another manifest."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.errors import ManifestUnsettled, NotEligible, RemovalRefused
from ingestd.model import Scope
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from support.logged import logged_by
from support.removals import entries
from support.scanning import SETTLE, Clock, kinds, last_error, write_manifest, write_sentinel
from support.world import World, md5, new_sync_id, photo

SCOPES = {"queue": Scope.ALL, "reimport": Scope.REIMPORT}


def basis(world: World, sync_id: str) -> tuple[str, str | None]:
    """Status and basis of a batch."""
    ((status, found),) = world.sql("SELECT status, invalid_basis FROM ingest_batch WHERE sync_id = %s", sync_id)
    return status, found


def hide(path: Path) -> Callable[[], object]:
    """Moves a file away; returns a function that brings it back byte for byte."""
    away = path.with_name("away")
    path.rename(away)
    return lambda: away.rename(path)


@pytest.mark.parametrize("suffix", ["ready", "json"])
@pytest.mark.parametrize("way", ["scan", "preflight", "queue", "reimport"])
def test_batch_whose_bundle_was_away_when_its_job_ran_is_imported_once_it_is_back(
    world: World, suffix: str, way: str
) -> None:
    context = world.context(mount={"settle_seconds": 0.01})
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    bring_back = hide(world.root / "sync" / f"{sync_id}.{suffix}")
    assert world.run_next(context) == "failed"
    assert basis(world, sync_id) == ("invalid", "absence")
    with pytest.raises(ManifestUnsettled):
        preflight(context, sync_id)
    bring_back()
    if way in ("queue", "reimport"):
        assert enqueue(context, QueueRequest(sync_id, "tester", scope=SCOPES[way])).is_new
    else:
        assert world.scan(context) == [sync_id] if way == "scan" else preflight(context, sync_id)["ok"]
        assert basis(world, sync_id)[1] is None
        assert Sweeper(context).retry() == 1, "the job that was asked for is queued again"
    assert kinds(world, sync_id).count("batch_valid") == 1
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id) == {md5("a"): "created"}
    assert world.status(sync_id) == "imported"
    assert world.scan(context) == []


def test_queued_batch_whose_job_was_not_asked_for_is_not_queued_when_it_becomes_valid(
    world: World, clock: Clock
) -> None:
    scanner = Scanner(world.context(mount={"settle_seconds": SETTLE}))
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    scanner.run_once()
    clock.now += SETTLE
    scanner.run_once()
    assert basis(world, sync_id) == ("invalid", "absence")
    write_manifest(world, sync_id, photo("a"))
    scanner.name({sync_id})
    scanner.run_once()
    assert basis(world, sync_id) == ("new", None)
    assert Sweeper(world.context()).retry() == 0


def future(world: World, seconds: int) -> str:
    text = "SELECT DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL %s SECOND, '%%Y-%%m-%%dT%%TZ')"
    return str(world.one(text, seconds))


@pytest.mark.parametrize("way", ["scan", "preflight", "queue"])
def test_bundle_from_the_future_is_valid_when_its_time_has_come(world: World, way: str) -> None:
    early = world.context(mount={"max_future": 10.0})
    sync_id = world.put(photo("a"), completed_at=future(world, 3000))
    assert world.scan(early) == [sync_id]
    assert basis(world, sync_id) == ("invalid", "time")
    with pytest.raises(NotEligible, match="ahead of the database's clock"):
        preflight(early, sync_id)
    assert world.scan(early) == []
    assert kinds(world, sync_id) == ["scan", "batch_invalid"], "recorded once"
    # 50 minutes later, seen with a limit that is 50 minutes higher.
    become_valid(world, world.context(), sync_id, way)


@pytest.mark.parametrize("limit", [{"max_items": 1}, {"max_manifest_bytes": 300}, {"max_containers": 1}])
@pytest.mark.parametrize("way", ["scan", "preflight", "queue"])
def test_bundle_beyond_a_limit_is_valid_when_the_limit_is_raised(world: World, limit: dict[str, int], way: str) -> None:
    containers = [{"type": "gallery", "hash": md5(name), "items": []} for name in "cd"]
    sync_id = world.put(photo("a"), photo("b"), containers=containers)
    low = world.context(mount=limit)
    assert world.scan(low) == [sync_id]
    assert basis(world, sync_id) == ("invalid", "setting")
    assert world.scan(low) == []
    become_valid(world, world.context(), sync_id, way)


def become_valid(world: World, context: Context, sync_id: str, way: str) -> None:
    if way == "scan":
        assert world.scan(context) == [sync_id]
    elif way == "preflight":
        assert preflight(context, sync_id)["ok"]
    else:
        assert enqueue(context, QueueRequest(sync_id, "tester")).is_new
    status, found = basis(world, sync_id)
    assert (status, found) == ({"scan": "new", "preflight": "ready", "queue": "queued"}[way], None)
    assert world.one("SELECT last_error FROM ingest_batch") is None


def test_bytes_that_are_wrong_stay_wrong(world: World) -> None:
    sync_id = world.put(photo("a"), status="uploading")
    context = world.context()
    world.scan(context)
    assert basis(world, sync_id) == ("invalid", "bytes")
    for _ in range(2):
        assert world.scan(world.context()) == []
        with pytest.raises(NotEligible):
            preflight(context, sync_id)
    assert kinds(world, sync_id) == ["scan", "batch_invalid"]


INVALID: dict[str, Callable[[World], str]] = {
    "status: ": lambda world: world.put(photo("a"), status="uploading"),
    "completed_at: ": lambda world: world.put(photo("a"), completed_at=future(world, 7200)),
    "mount.max_items": lambda world: world.put(photo("a"), photo("b")),
    "verification": lambda world: world.put(photo("a"), verification={"passed": False}),
}
"""by a part of the reason: how an invalid bundle is delivered"""


@pytest.mark.parametrize("reason", INVALID)
def test_what_is_invalid_is_logged_once_with_its_name_and_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    logged = logged_by(delivery, monkeypatch)
    context = world.context(mount={"max_items": 1})
    sync_id = INVALID[reason](world)
    for _ in range(3):
        world.scan(context)
    (line,) = logged.of("batch_invalid")
    assert (line["sync_id"], reason in line["reason"]) == (sync_id, True)


@pytest.mark.parametrize("basis_before", ["setting", "time", "absence"])
def test_held_batch_that_was_invalid_meanwhile_is_held_again(world: World, basis_before: str) -> None:
    context = world.context(queue={"removal_limit": 1})
    assert world.import_all(context, world.put(photo("a"), photo("b"))) == ["done"]
    sync_id = world.put(*entries("ab"), action="remove", day=2)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        enqueue(context, QueueRequest(sync_id, "tester"))
    invalid = "UPDATE ingest_batch SET status = 'invalid', invalid_basis = %s, last_error = 'x' WHERE sync_id = %s"
    world.sql(invalid, basis_before, sync_id)
    assert world.scan(context) == [sync_id]
    assert basis(world, sync_id) == ("held", None)
    assert "would remove 2 assets" in last_error(world, sync_id)
    assert Sweeper(world.context(queue={"auto": ["remove"]})).queue_new() == 0
    enqueue(context, QueueRequest(sync_id, "tester", force=True))
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"

"""Requests for batches that are too large to be planned at once, and requests that name a manifest."""

from datetime import UTC, datetime, timedelta

import pytest

from ingestd.errors import NotEligible
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.world import World, photo

SIZES = {"small": None, "large": 1}
"""`plan_up_to` for a bundle of two items"""


def digest(world: World) -> str:
    return str(world.one("SELECT manifest_sha256 FROM ingest_batch"))


def ask(context: Context, sync_id: str, size: str, sha256: str | None, **options: object) -> None:
    request = QueueRequest(sync_id, "olivia", reviewed_sha256=sha256, **options)  # type: ignore[arg-type]
    enqueue(context, request, plan_up_to=SIZES[size])


@pytest.fixture
def recorded(world: World) -> tuple[Context, str]:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"))
    world.scan(context)
    return context, sync_id


@pytest.mark.parametrize("size", SIZES)
def test_another_manifest_that_no_scan_saw_is_refused(world: World, recorded: tuple[Context, str], size: str) -> None:
    context, sync_id = recorded
    reviewed = digest(world)
    world.put(photo("a"), photo("c"), sync_id=sync_id)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        ask(context, sync_id, size, reviewed)
    assert world.run_next(context) is None


@pytest.mark.parametrize("size", SIZES)
def test_a_bundle_that_is_not_consumable_any_more_is_refused(
    world: World, recorded: tuple[Context, str], size: str
) -> None:
    context, sync_id = recorded
    reviewed = digest(world)
    world.put(photo("a"), photo("b"), sync_id=sync_id, status="failed")
    with pytest.raises(NotEligible):
        ask(context, sync_id, size, reviewed)
    assert world.run_next(context) is None


@pytest.mark.parametrize("options", [{}, {"priority": 3}])
@pytest.mark.parametrize("size", SIZES)
def test_another_manifest_is_refused_where_the_batch_is_queued_already(
    world: World, recorded: tuple[Context, str], size: str, options: dict[str, object]
) -> None:
    context, sync_id = recorded
    reviewed = digest(world)
    enqueue(context, QueueRequest(sync_id, "tester"))
    world.put(photo("a"), photo("c"), sync_id=sync_id)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        ask(context, sync_id, size, reviewed, **options)
    assert world.one("SELECT priority FROM import_job") == 100


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_manifest_that_is_there_is_queued(
    world: World, recorded: tuple[Context, str], size: str, queued: bool
) -> None:
    context, sync_id = recorded
    if queued:
        enqueue(context, QueueRequest(sync_id, "tester"), plan_up_to=1)
    ask(context, sync_id, size, digest(world))
    is_planned = world.one("SELECT plan_sha256 IS NOT NULL FROM ingest_batch")
    assert bool(is_planned) is (size == "small" and not queued)
    assert world.run_next(context) == "done"


# large batches whose verdict may not hold any more


@pytest.mark.parametrize("size", SIZES)
def test_an_invalid_batch_whose_time_has_come_is_queued(world: World, size: str) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    sync_id = world.put(photo("a"), photo("b"), completed_at=f"{ahead:%Y-%m-%dT%H:%M:%SZ}")
    world.scan(world.context())
    assert world.status(sync_id) == "invalid"
    later = world.context(mount={"max_future": 86400.0})
    ask(later, sync_id, size, None)
    assert world.run_next(later) == "done"


@pytest.mark.parametrize("size", SIZES)
def test_an_invalid_batch_whose_bundle_was_away_is_queued(world: World, size: str) -> None:
    context = world.context(mount={"settle_seconds": 0.01})
    sync_id = world.put(photo("a"), photo("b"))
    world.scan(context)
    ask(context, sync_id, size, None)
    sentinel = world.root / f"sync/{sync_id}.ready"
    sentinel.unlink()
    assert world.run_next(context) == "failed"
    assert world.status(sync_id) == "invalid"
    sentinel.touch()
    ask(context, sync_id, size, digest(world))
    assert world.run_next(context) == "done"


@pytest.mark.parametrize("size", SIZES)
def test_what_its_bytes_make_invalid_stays_refused(world: World, size: str) -> None:
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"), status="failed")
    world.scan(context)
    world.sql("UPDATE ingest_batch SET item_count = 2 WHERE %s", 1)
    with pytest.raises(NotEligible, match="is invalid: status"):
        ask(context, sync_id, size, None)

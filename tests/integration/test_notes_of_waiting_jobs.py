"""The reason why a job is set aside is shown for as long as it waits. Then the error of the last run is shown again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from ingestd.model import Scope
from ingestd.pipeline import ahead
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.rescuer import Rescuer
from support.faulty_fuse import FaultyFuse
from support.world import World, photo

DOCUMENT = f"{photo('b')['path']}/source/source.json"
Trouble = Callable[[World, FaultyFuse, str], None]
End = Callable[[World, Context, str], object]


@pytest.fixture(autouse=True)
def _unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run reads for itself: what is out of order here was in order when the bundle was recorded."""
    monkeypatch.setattr(ahead, "MAX_AGE", -1.0)


@pytest.fixture
def context(world: World, faulty: FaultyFuse) -> Context:
    return world.context(mount={"root": str(faulty.point), "settle_seconds": 600.0})


def sentinel_away(world: World, _faulty: FaultyFuse, sync_id: str) -> None:
    (world.root / f"sync/{sync_id}.ready").unlink()


def document_error(_world: World, faulty: FaultyFuse, _sync_id: str) -> None:
    faulty.fail(DOCUMENT)


def cancelled(_world: World, context: Context, sync_id: str) -> None:
    cancel(context, sync_id, "olivia")


def ended_by_hand(world: World, context: Context, _sync_id: str) -> None:
    world.sql("UPDATE import_job SET state = 'failed', finished_at = UTC_TIMESTAMP(6) WHERE state = 'queued'")
    Rescuer(context, this_instance()).run_once()


def fresh(world: World, context: Context) -> str:
    """A batch that had no job."""
    sync_id = world.put(photo("b"))
    world.file(DOCUMENT, b"{}")
    world.scan(context)
    return sync_id


def partial(world: World, context: Context) -> str:
    """A batch with one created and one failed item."""
    sync_id = world.put(photo("a"), photo("b"))
    world.file(DOCUMENT, b"{}")
    world.file(f"{photo('a')['path']}/0.jpg", b"not of the size that the manifest says")
    world.import_all(context, sync_id)
    return sync_id


def standing(world: World) -> tuple[object, ...]:
    return world.sql("SELECT status, last_error FROM ingest_batch WHERE %s", 1)[0]


def set_aside(world: World, faulty: FaultyFuse, context: Context, sync_id: str, trouble: Trouble) -> None:
    enqueue(context, QueueRequest(sync_id, "tester", scope=Scope.REIMPORT))
    trouble(world, faulty, sync_id)
    assert world.run_next(context) == "aside"
    status, error = standing(world)
    assert status == "queued"
    assert str(error).startswith("waiting, and tried again: ")


@pytest.mark.parametrize("trouble", [sentinel_away, document_error])
@pytest.mark.parametrize("end", [cancelled, ended_by_hand])
@pytest.mark.parametrize(("before", "error"), [(fresh, None), (partial, "1 item failed")])
def test_without_its_job_a_batch_has_the_error_of_its_last_run(
    world: World,
    faulty: FaultyFuse,
    context: Context,
    before: Callable[[World, Context], str],
    error: str | None,
    end: End,
    trouble: Trouble,
) -> None:
    sync_id = before(world, context)
    assert standing(world)[1] == error
    set_aside(world, faulty, context, sync_id, trouble)
    end(world, context, sync_id)
    assert standing(world)[1] == error
    assert standing(world)[0] not in ("queued", "importing")


def test_it_is_shown_again_after_each_run_that_could_not_read(
    world: World, faulty: FaultyFuse, context: Context
) -> None:
    sync_id = partial(world, context)
    set_aside(world, faulty, context, sync_id, document_error)
    assert world.run_next(context) == "aside"
    assert str(standing(world)[1]).startswith("waiting, and tried again: ")
    cancelled(world, context, sync_id)
    assert standing(world)[1] == "1 item failed"


@pytest.mark.parametrize(("before", "error"), [(fresh, None), (partial, "1 item failed")])
def test_a_batch_that_is_being_imported_does_not_wait(
    world: World, faulty: FaultyFuse, context: Context, before: Callable[[World, Context], str], error: str | None
) -> None:
    sync_id = before(world, context)
    set_aside(world, faulty, context, sync_id, document_error)
    assert claim(context, "w", str(this_instance())) is not None
    assert standing(world) == ("importing", error)


def test_a_batch_that_was_delivered_again_has_no_earlier_error(
    world: World, faulty: FaultyFuse, context: Context
) -> None:
    sync_id = partial(world, context)
    set_aside(world, faulty, context, sync_id, document_error)
    world.put(photo("b"), photo("c"), sync_id=sync_id)
    world.scan(context)
    cancelled(world, context, sync_id)
    assert standing(world) == ("new", None)


def test_what_became_invalid_while_it_was_queued_has_the_reason(
    world: World, faulty: FaultyFuse, context: Context
) -> None:
    sync_id = fresh(world, context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    ahead = datetime.now(UTC) + timedelta(hours=2)
    world.put(photo("b"), sync_id=sync_id, completed_at=f"{ahead:%Y-%m-%dT%H:%M:%SZ}")
    world.scan(context)
    set_aside(world, faulty, context, sync_id, sentinel_away)
    cancelled(world, context, sync_id)
    status, error = standing(world)
    assert status == "invalid"
    assert "ahead of the database's clock" in str(error)

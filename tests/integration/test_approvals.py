"""Approvals of removals hold for what was there when they were given."""

from typing import Any

import pytest

from ingestd.errors import NotEligible, RemovalRefused
from ingestd.pipeline import queueing, removals
from ingestd.pipeline.cancelling import cancel
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_events
from support.removals import entries, events, imported, live, names, queue
from support.world import World, photo


def deliver(world: World, count: int, sync_id: str | None = None) -> str:
    """A bundle that removes so many assets."""
    return world.put(*entries(names(count)), sync_id=sync_id, action="remove", day=2)


def held(world: World, context: Context) -> str:
    """A batch that is held for three of nine assets."""
    imported(world, context, 9)
    removal = deliver(world, 3)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    return removal


def planned(world: World, context: Context) -> str:
    """A batch that was planned, and would remove three of nine assets."""
    imported(world, context, 9)
    removal = deliver(world, 3)
    world.scan(context)
    preflight(context, removal)
    return removal


@pytest.mark.parametrize("reviewed", [held, planned])
def test_a_manifest_that_arrived_after_the_review_is_not_approved_unseen(world: World, reviewed: Any) -> None:
    context = world.context(queue={"removal_limit": 2})
    removal = reviewed(world, context)
    deliver(world, 9, removal)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        queue(context, removal, force=True)
    assert world.run_next(context) is None
    assert live(world) == 9
    assert events(world, removal, "removal_approved") == []
    queue(context, removal, force=True)
    assert world.run_next(context) == "done"
    assert live(world) == 0


def test_a_manifest_that_is_queued_automatically_during_the_request_is_not_approved_unseen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.context(queue={"removal_limit": 2, "auto": ["remove"]})
    removal = held(world, context)
    real = queueing.preflight_if_needed

    def overtaken(*arguments: Any, **options: Any) -> None:
        deliver(world, 9, removal)
        real(*arguments, **options)
        assert Sweeper(context).queue_new() == 1

    monkeypatch.setattr(queueing, "preflight_if_needed", overtaken)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        queue(context, removal, force=True)
    assert world.run_next(context) == "failed"
    assert (world.status(removal), live(world)) == ("held", 9)


def test_an_approval_of_a_queued_batch_without_a_plan_records_what_it_allows(world: World) -> None:
    context = world.context(queue={"removal_limit": 2, "auto": ["remove"]})
    imported(world, context, 9)
    removal = deliver(world, 9)
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    queue(context, removal, force=True)
    assert [event["assets"] for event in events(world, removal, "removal_approved")] == [9]
    assert world.run_next(context) == "done"


def test_a_request_that_names_a_manifest_queues_no_other(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    reviewed = world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", sync_id)
    world.put(photo("a"), photo("b"), sync_id=sync_id)
    world.scan(context)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        queue(context, sync_id, reviewed_sha256=reviewed)
    world.put(photo("a"), sync_id=sync_id)
    world.scan(context)
    queue(context, sync_id, reviewed_sha256=reviewed)
    assert world.run_next(context) == "done"


def test_an_approval_can_name_its_manifest(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    removal = held(world, context)
    reviewed = world.one("SELECT manifest_sha256 FROM ingest_batch WHERE sync_id = %s", removal)
    deliver(world, 9, removal)
    world.scan(context)
    with pytest.raises(NotEligible, match="delivered again meanwhile"):
        queue(context, removal, force=True, reviewed_sha256=reviewed)
    deliver(world, 3, removal)
    world.scan(context)
    queue(context, removal, force=True, reviewed_sha256=reviewed)
    assert world.run_next(context) == "done"
    assert live(world) == 6


# what was approved for a number of rows


@pytest.fixture
def approved(world: World) -> tuple[Context, str]:
    """A removal of nine, three of which are live, that was approved for three; and the library has all nine by now."""
    context = world.context(queue={"removal_limit": 2})
    imported(world, context, 3)
    removal = deliver(world, 9)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    queue(context, removal, force=True, max_removals=3)
    return context, removal


def grow(world: World, context: Context) -> None:
    """The job of the removal is not the next one."""
    world.sql("UPDATE import_job SET priority = 900 WHERE state = 'queued'")
    assert world.import_all(context, world.put(*map(photo, names(9)[3:]))) == ["done"]
    assert live(world) == 9


def put_back(_world: World, _context: Context, _removal: str) -> None:
    """It stays queued."""


def cancelled(_world: World, context: Context, removal: str) -> None:
    cancel(context, removal, "olivia")


def made_waiting(world: World, _context: Context, _removal: str) -> None:
    world.sql("UPDATE import_job SET state = 'waiting' WHERE state = 'queued'")


def failed(world: World, context: Context, removal: str) -> None:
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    assert world.status(removal) == "failed"


@pytest.mark.parametrize("before", [put_back, cancelled, made_waiting, failed])
def test_an_approval_for_no_more_than_some_rows_holds_also_for_an_approved_manifest(
    world: World, approved: tuple[Context, str], before: Any
) -> None:
    context, removal = approved
    before(world, context, removal)
    grow(world, context)
    with pytest.raises(NotEligible, match="would remove 9 assets by now, more than the 3 that were reviewed"):
        queue(context, removal, force=True, max_removals=3)
    queue(context, removal, force=True, max_removals=9)
    assert live(world) == 9


def test_a_running_job_cannot_take_up_a_lower_number_of_rows(world: World, approved: tuple[Context, str]) -> None:
    context, removal = approved
    assert claim(context, "w", str(this_instance())) is not None
    queue(context, removal, force=True, max_removals=3)
    with pytest.raises(NotEligible, match="can no longer take up force"):
        queue(context, removal, force=True, max_removals=2)


def test_each_job_has_its_own_approval_in_the_ledger(world: World, approved: tuple[Context, str]) -> None:
    context, removal = approved
    cancelled(world, context, removal)
    grow(world, context)
    queue(context, removal, force=True, max_removals=9)
    queue(context, removal, force=True, max_removals=9)
    assert [event["assets"] for event in events(world, removal, "removal_approved")] == [3, 9]
    assert world.run_next(context) == "done"
    assert live(world) == 0


GROWN = "would remove 9 assets by now, more than the 3 rows that were approved"


@pytest.mark.parametrize("limit", [0, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_what_grows_between_an_approval_and_its_run_is_held_again(world: World, limit: int, times: int) -> None:
    context = world.context(queue={"removal_limit": limit})
    imported(world, context, 3)
    removal = deliver(world, 9)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    for _ in range(times):
        queue(context, removal, force=True, max_removals=3)
    grow(world, context)
    assert world.run_next(context) == "failed"
    assert (live(world), world.status(removal)) == (9, "held")
    assert GROWN in str(world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", removal))
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    queue(context, removal, force=True, max_removals=9)
    assert world.run_next(context) == "done"
    assert live(world) == 0


def test_what_grows_during_the_run_is_held_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context(queue={"removal_limit": 0}, worker={"chunk_items": 2})
    imported(world, context, 3)
    removal = deliver(world, 9)
    world.scan(context)
    preflight(context, removal)
    queue(context, removal, force=True, max_removals=3)
    grow(world, context)
    with monkeypatch.context() as patched:
        patched.setattr(removals, "check", lambda *_: None)  # as if it grew after that
        assert world.run_next(context) == "failed"
    assert live(world) >= 6
    assert world.status(removal) == "held"


def test_an_approval_of_any_number_allows_what_came_since(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    imported(world, context, 3)
    removal = deliver(world, 9)
    world.scan(context)
    queue(context, removal, force=True)
    grow(world, context)
    assert world.run_next(context) == "done"
    assert live(world) == 0


@pytest.mark.parametrize(("first", "second", "left"), [(None, 9, 0), (9, 20, 0), (20, 9, 0)])
def test_the_last_approval_of_a_queued_job_counts(
    world: World, first: int | None, second: int | None, left: int
) -> None:
    context = world.context(queue={"removal_limit": 2})
    imported(world, context, 9)
    removal = deliver(world, 9)
    world.scan(context)
    for count in (first, second):
        queue(context, removal, force=True, max_removals=count)
        assert world.one("SELECT force_limit FROM ingest_batch WHERE sync_id = %s", removal) == count
    assert world.run_next(context) == "done"
    assert live(world) == left


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("reviewed", "more"), [(0, 2), (1, 1), (3, 4)])
def test_an_approval_never_allows_less_than_the_limit(world: World, force: bool, reviewed: int, more: int) -> None:
    context = world.context(queue={"removal_limit": 8})
    if reviewed:
        imported(world, context, reviewed)
    removal = deliver(world, reviewed + more)
    world.scan(context)
    preflight(context, removal)
    queue(context, removal, force=force)
    world.sql("UPDATE import_job SET priority = 900 WHERE state = 'queued'")
    assert world.import_all(context, world.put(*map(photo, names(9)[reviewed : reviewed + more]))) == ["done"]
    assert world.run_next(context) == "done"
    assert live(world) == 0


def test_rows_beyond_an_approval_count_toward_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunk by chunk: otherwise each of them would be within it."""
    context = world.context(queue={"removal_limit": 2}, worker={"chunk_items": 1})
    imported(world, context, 1)
    removal = deliver(world, 9)
    world.scan(context)
    preflight(context, removal)
    queue(context, removal, force=True)
    world.sql("UPDATE import_job SET priority = 900 WHERE state = 'queued'")
    assert world.import_all(context, world.put(*map(photo, names(9)[1:]))) == ["done"]
    monkeypatch.setattr(removals, "check", lambda *_: None)  # as if they came after that
    assert world.run_next(context) == "failed"
    assert live(world) >= 6


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("is_planned", [False, True])
def test_the_same_approval_again_changes_nothing(world: World, state: str, is_planned: bool) -> None:
    context = world.context(queue={"removal_limit": 2})
    imported(world, context, 9)
    removal = deliver(world, 9)
    world.scan(context)
    if is_planned:
        preflight(context, removal)
    queue(context, removal, force=True)
    limit = world.one("SELECT force_limit FROM ingest_batch WHERE sync_id = %s", removal)
    assert limit == (9 if is_planned else None)
    if state == "running":
        assert claim(context, "w", str(this_instance())) is not None
    for _ in range(2):
        queue(context, removal, force=True)
    assert world.one("SELECT force_limit FROM ingest_batch WHERE sync_id = %s", removal) == limit
    assert len(events(world, removal, "removal_approved")) == 1

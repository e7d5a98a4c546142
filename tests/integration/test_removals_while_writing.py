"""The limit on removals holds while writing: over chunks, jobs and digests, and for a library that grew meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

from ingestd.errors import LeaseLost, NotEligible, RemovalRefused
from ingestd.model import Scope
from ingestd.pipeline import queueing, removals
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import items_importer
from ingestd.pipeline.importer.opening import Opening
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.sweeps import Sweeper
from support.removals import container, entries, events, imported, live, names, queue, run_automatically
from support.steps import in_steps
from support.wait import stop_event
from support.world import World, md5, photo

AUTO = {"auto": ["create", "update", "remove"]}
SMALL_CHUNKS = {"chunk_items": 2}


def when_opened(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Does something once, between the opening of the next run, with its count, and its first write."""
    real = Opening.open

    def late(self: Opening, *arguments: Any) -> Any:
        opened = real(self, *arguments)
        monkeypatch.setattr(Opening, "open", real)
        work()
        return opened

    monkeypatch.setattr(Opening, "open", late)


def test_a_library_that_grows_after_the_count_does_not_outrun_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, other = world.context(queue={"removal_limit": 3, **AUTO}, worker=SMALL_CHUNKS), world.context()
    created = world.put(*map(photo, names(8)), day=1)
    world.scan(context)
    removal = world.put(*entries(names(8)), action="remove", day=2)
    world.scan(context)
    when_opened(monkeypatch, lambda: world.import_all(other, created))
    queue(context, removal)
    assert world.run_next(context) == "failed"
    assert live(world) == 6, "one chunk of two; the second would make four"
    assert world.status(removal) == "held"
    assert list(world.decisions(removal).values()) == ["removed"] * 2 + ["will_skip:tombstoned"] * 6
    assert len(events(world, removal, "removal_refused")) == 1
    with pytest.raises(NotEligible, match="8 assets by now, more than the 4"):
        queue(context, removal, force=True)
    queue(context, removal, force=True)
    assert events(world, removal, "removal_approved")[0]["assets"] == 4
    assert world.run_next(context) == "done"
    assert (live(world), world.status(removal)) == (0, "imported")


def test_members_that_appear_after_the_count_do_not_outrun_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, other = world.context(queue={"removal_limit": 3, **AUTO}, worker={"chunk_items": 1}), world.context()
    imported(world, context, 4)
    late = world.put(day=2, containers=[container("g", names(4)), container("h", names(2))])
    lists = [container(name, [], complete=True) for name in ("h", "g")]
    emptying = world.put(action="update", day=3, containers=lists)
    world.scan(context)
    when_opened(monkeypatch, lambda: world.import_all(other, late))
    queue(context, emptying)
    with in_steps():
        assert world.run_next(context) == "failed"
    assert world.status(emptying) == "held"
    assert live(world, "asset_gallery_item") == 4, "the list of two was emptied; the one of four would make six"


def test_files_that_appear_after_the_count_do_not_outrun_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, other = world.context(queue={"removal_limit": 3, **AUTO}, worker=SMALL_CHUNKS), world.context()
    created = world.put(*(photo(name) for name in names(6)), day=1)
    update = world.put(*(photo(name, files=0) for name in names(6)), action="update", day=2)
    world.scan(context)
    when_opened(monkeypatch, lambda: world.import_all(other, created))
    queue(context, update)
    assert world.run_next(context) == "failed"
    assert live(world, "asset_file") == 4


def test_the_count_goes_on_over_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job for the failed items counts on from where the first job ended, whatever the plan expected."""
    monkeypatch.setattr(removals, "may_have_grown", lambda *_: False)
    context = world.context(queue={"removal_limit": 2, "revive_interval": 1, **AUTO})
    imported(world, context, 4)
    bad = photo("p2", files=0, title="bad", path="photo/none")
    bad["files"] = [{"variant": "large", "path": "none.jpg"}]
    update = world.put(photo("p0", files=0), photo("p1", files=0), bad, action="update", day=2)
    (world.root / "photo/none/none.jpg").unlink()
    with pytest.raises(RemovalRefused, match="would remove 3 files"):
        world.import_all(context, update)
    world.sql("UPDATE ingest_batch_removal SET expected_files = 2, is_held = 0")
    world.sql("UPDATE ingest_batch SET status = 'ready' WHERE status = 'held'")
    queue(context, update)
    assert world.run_next(context) == "done"
    assert sorted(world.decisions(update).values()) == ["failed:file_missing", "updated", "updated"]
    world.file("photo/none/none.jpg", b"x")
    queue(context, update, scope=Scope.FAILED)
    assert world.run_next(context) == "failed"
    assert (world.status(update), live(world, "asset_file")) == ("held", 2)
    assert world.sql("SELECT removed_files, expected_files FROM ingest_batch_removal WHERE is_held") == [(2, 3)]


def test_a_reimport_of_what_is_gone_already_is_not_refused(world: World) -> None:
    context = world.context(queue={"removal_limit": 2, **AUTO})
    removal = world.put(*entries(imported(world, context, 2)), action="remove", day=2)
    assert world.import_all(context, removal) == ["done"]
    for _ in range(2):
        queue(context, removal, scope=Scope.REIMPORT)
        assert world.run_next(context) == "done"
        assert world.status(removal) == "imported"
    assert world.sql("SELECT removed_assets FROM ingest_batch_removal WHERE removed_assets") == [(2,)]


def test_an_approval_is_for_one_digest(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    removal = world.put(*entries(imported(world, context, 4)[:3]), action="remove", day=2)
    world.scan(context)
    queue(context, removal, force=True)
    world.put(*entries(names(4)), sync_id=removal, action="remove", day=2)
    assert world.run_next(context) == "failed"
    assert (world.status(removal), live(world)) == ("held", 4)
    world.put(*entries(names(2)), sync_id=removal, action="remove", day=2)
    world.scan(context)
    assert world.status(removal) == "new", "another manifest ends the hold"
    assert world.import_all(context, removal) == ["done"]
    assert (world.status(removal), live(world)) == ("imported", 2)


def test_a_manifest_that_comes_back_is_counted_again(world: World) -> None:
    context = world.context(queue={"removal_limit": 2})
    removal = world.put(*entries(imported(world, context, 3)), action="remove", day=2)
    for content in (3, 1, 3):
        world.put(*entries(names(3)[:content]), sync_id=removal, action="remove", day=2)
        world.scan(context)
        assert world.status(removal) == "new"
        if content == 3:
            with pytest.raises(RemovalRefused):
                queue(context, removal)
    assert len(events(world, removal, "removal_refused")) == 2


def test_no_sweep_queues_a_held_batch_again(world: World) -> None:
    context = world.context(queue={"removal_limit": 1, "revive_interval": 1, "retry_pauses": [1.0], **AUTO})
    removal = world.put(*entries(imported(world, context, 3)), action="remove", day=2)
    assert run_automatically(world, context) == "failed"
    before = world.events(removal)
    sweeper = Sweeper(context)
    assert [sweeper.queue_new(), sweeper.retry(), sweeper.revive(), sweeper.promote()] == [0] * 4
    request = queueing.QueueRequest(removal, "ingestd")
    assert sweeper._insert(request, lambda *_: True) == 0, "not even one that found it earlier"
    assert world.events(removal) == before


def test_a_deferred_item_does_not_revive_a_held_batch(world: World) -> None:
    context = world.context(queue={"removal_limit": 1, "revive_interval": 1, **AUTO})
    imported(world, context, 2, containers=[container("g", names(2))])
    lists = [container("h", ["late"]), container("g", [], complete=True)]
    update = world.put(day=2, action="update", containers=lists)
    world.scan(context)
    world.sql("UPDATE asset_gallery_item SET deleted_at = UTC_TIMESTAMP(6)")
    queue(context, update)
    world.sql("UPDATE asset_gallery_item SET deleted_at = NULL")
    assert world.run_next(context) == "failed"
    assert world.import_all(context, world.put(photo("late"), day=3)) == ["done"]
    assert (world.status(update), Sweeper(context).revive()) == ("held", 0)


def test_repeated_requests_record_one_refusal(world: World) -> None:
    context = world.context(queue={"removal_limit": 1})
    removal = world.put(*entries(imported(world, context, 2)), action="remove", day=2)
    world.scan(context)
    for _ in range(3):
        with pytest.raises(RemovalRefused):
            queue(context, removal)
    assert len(events(world, removal, "removal_refused")) == 1


def test_a_higher_limit_ends_a_hold(world: World) -> None:
    context = world.context(queue={"removal_limit": 1})
    removal = world.put(*entries(imported(world, context, 2)), action="remove", day=2)
    world.scan(context)
    with pytest.raises(RemovalRefused):
        queue(context, removal)
    raised = world.context(queue={"removal_limit": 2})
    queue(raised, removal)
    assert world.run_next(raised) == "done"
    assert world.status(removal) == "imported"


def test_a_worker_that_lost_its_job_counts_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context, other = world.context(worker=SMALL_CHUNKS), world.context(worker=SMALL_CHUNKS)
    removal = world.put(*entries(imported(world, context, 6)), action="remove", day=2)
    world.scan(context)
    queue(context, removal)
    lease = claim(context, "zombie", str(this_instance()))
    assert lease is not None
    real = items_importer.ItemsImporter._import_chunk

    def overtaken(self: Any, chunk: Any) -> None:
        monkeypatch.undo()
        world.sql("UPDATE import_job SET state = 'queued' WHERE state = 'running'")
        assert world.run_next(other) == "done"
        with pytest.raises(LeaseLost):
            real(self, chunk)
        raise LeaseLost("as it was")

    monkeypatch.setattr(items_importer.ItemsImporter, "_import_chunk", overtaken)
    assert Run(context, lease, stop_event()).execute() == "lost"
    assert live(world) == 0
    assert world.sql("SELECT removed_assets FROM ingest_batch_removal WHERE removed_assets") == [(6,)]


def test_an_item_of_two_batches_is_counted_by_the_one_that_removes_it(world: World) -> None:
    context: Context = world.context(queue={"removal_limit": 3, **AUTO})
    gone = imported(world, context, 4)
    first, second = (world.put(*entries(gone[at : at + 3]), action="remove", day=2 + at) for at in (0, 1))
    assert world.import_all(context, first, second) == ["done", "done"]
    rows = world.sql("SELECT removed_assets FROM ingest_batch_removal r JOIN ingest_batch b ON b.id = r.batch_id"
                     " ORDER BY b.manifest_completed_at")  # fmt: skip
    assert [count for (count,) in rows if count] == [3, 1]
    assert world.one("SELECT deleted_at FROM asset WHERE hash = %s", md5(gone[0])) is not None

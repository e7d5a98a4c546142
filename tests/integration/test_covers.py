"""Covers: linked, waiting for their parent, replaced and removed."""

from ingestd.pipeline.sweeps import Sweeper
from support.library_rows import live
from support.world import World, cover, md5, photo


def test_a_cover_waits_for_its_parent_and_is_linked_unasked(world: World) -> None:
    context = world.context(queue={"revive_interval": 0.001})
    early = world.put(cover("c", "a"), day=1)
    other, parent = world.put(photo("b"), day=2), world.put(photo("a"), day=3)
    world.import_all(context, early, other)
    assert world.decisions(early) == {md5("c"): "deferred:parent_missing"}
    assert world.status(early) == "failed"
    sweeper = Sweeper(context)
    assert sweeper.revive() == 0
    world.import_all(context, parent)
    assert sweeper.revive() == 1
    assert world.run_next(context) == "done"
    assert world.decisions(early) == {md5("c"): "linked"}
    assert world.status(early) == "imported"
    queued = [payload for kind, payload in world.events(early) if kind == "job_queued"]
    assert queued[-1]["requested_by"] == "ingestd"
    assert sweeper.revive() == 0


def test_a_revival_handles_only_what_can_succeed_now(world: World) -> None:
    context = world.context(queue={"revive_interval": 0.001})
    early = world.put(cover("c", "a"), cover("d", "never"), photo("bad", files=1), day=1)
    (world.root / photo("bad")["path"] / "0.jpg").unlink()
    world.import_all(context, early)
    world.import_all(context, world.put(photo("a"), day=2))
    before = len(world.events(early))
    assert Sweeper(context).revive() == 1
    world.run_next(context)
    recorded = [kind for kind, _ in world.events(early)[before:]]
    assert [kind for kind in recorded if kind.startswith("item_")] == ["item_linked"]
    assert world.decisions(early)[md5("bad")] == "failed:file_missing"
    assert world.decisions(early)[md5("d")] == "deferred:parent_missing"


def test_revivals_of_one_batch_keep_their_distance(world: World) -> None:
    context = world.context(queue={"revive_interval": 3600})
    early = world.put(cover("c", "a"), cover("d", "b"), day=1)
    world.import_all(context, early, world.put(photo("a"), day=2))
    assert Sweeper(context).revive() == 1
    world.run_next(context)
    world.import_all(context, world.put(photo("b"), day=3))
    assert Sweeper(context).revive() == 0
    world.sql("UPDATE ingest_batch SET revived_at = revived_at - INTERVAL 2 HOUR")
    assert Sweeper(context).revive() == 1


def test_a_named_cover_outranks_a_cover_item(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a", cover_hash=md5("own")), cover("item", "a"))
    world.import_all(context, sync_id)
    assert world.sql("SELECT cover_hash FROM asset_cover") == [(md5("own"),)]
    assert world.decisions(sync_id)[md5("item")] == "skipped:outranked"


def test_a_newer_cover_is_not_undone_by_an_older_one(world: World) -> None:
    context = world.context()
    base, newer, older = (
        world.put(photo("a"), day=1),
        world.put(cover("new", "a"), day=3),
        world.put(cover("old", "a"), day=2),
    )
    world.import_all(context, base, newer, older)
    assert world.sql("SELECT cover_hash FROM asset_cover") == [(md5("new"),)]
    assert world.decisions(older) == {md5("old"): "skipped:superseded"}


def test_removing_a_cover(world: World) -> None:
    context = world.context()
    first = world.put(photo("a"), cover("c", "a"), day=1)
    gone = world.put(cover("c", "a"), action="remove", day=2)
    world.import_all(context, first, gone)
    assert world.decisions(gone) == {md5("c"): "removed"}
    assert world.one("SELECT deleted_at IS NOT NULL FROM asset_cover") == 1
    assert live(world, "a")

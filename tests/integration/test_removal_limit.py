"""The limit on removals: assets, files, covers and members, under every action, ahead of the first write."""

import pytest

from ingestd.errors import RemovalRefused
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from support.removals import container, entries, events, imported, live, names, queue, run_automatically
from support.world import World, cover, md5, photo

AUTO = {"auto": ["create", "update", "remove"]}


def held(world: World, context: Context, sync_id: str, counts: dict[str, int]) -> None:
    """A batch that was just refused; approves it and checks the counts."""
    assert world.status(sync_id) == "held"
    assert "more than queue.removal_limit" in world.one(
        "SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id
    )
    assert len(events(world, sync_id, "removal_refused")) == 1
    queue(context, sync_id, force=True)
    approved = {"phase": "queue", "requested_by": "tester", "assets": 0, "files": 0, "members": 0, **counts}
    assert events(world, sync_id, "removal_approved") == [approved]
    assert world.run_next(context) == "done"


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("kind", ["gallery", "collection"])
def test_a_complete_empty_list_is_held(world: World, kind: str, planned: bool) -> None:
    context = world.context(queue={"removal_limit": 9, **AUTO})
    members = names(10)
    imported(world, context, 10, containers=[container("g", members, kind)])
    sync_id = world.put(action="update", day=2, containers=[container("g", [], kind, complete=True)])
    refuse(world, context, sync_id, planned=planned)
    assert live(world, f"asset_{kind}_item") == 10
    held(world, context, sync_id, {"members": 10})
    assert live(world, f"asset_{kind}_item") == 0


@pytest.mark.parametrize("planned", [True, False])
def test_an_update_that_lists_no_files_is_held(world: World, planned: bool) -> None:
    context = world.context(queue={"removal_limit": 19, **AUTO})
    imported(world, context, 10, files=2)
    sync_id = world.put(*(photo(name, files=0) for name in names(10)), action="update", day=2)
    refuse(world, context, sync_id, planned=planned)
    assert live(world, "asset_file") == 20
    held(world, context, sync_id, {"files": 20})
    assert (live(world), live(world, "asset_file")) == (10, 0)


@pytest.mark.parametrize("planned", [True, False])
def test_kinds_are_added_up(world: World, planned: bool) -> None:
    context = world.context(queue={"removal_limit": 4, **AUTO})
    imported(world, context, 3, files=2, containers=[container("g", names(3))])
    listed = container("g", names(1), complete=True)
    entries_of_update = [photo(name, files=1) for name in names(3)]
    sync_id = world.put(*entries_of_update, action="update", day=2, containers=[listed])
    refuse(world, context, sync_id, planned=planned)
    assert (live(world, "asset_file"), live(world, "asset_gallery_item")) == (6, 3)
    held(world, context, sync_id, {"files": 3, "members": 2})
    assert (live(world, "asset_file"), live(world, "asset_gallery_item")) == (3, 1)


def test_a_create_that_drops_files_is_counted_too(world: World) -> None:
    context = world.context(queue={"removal_limit": 2, **AUTO})
    imported(world, context, 3)
    sync_id = world.put(*(photo(name, files=0) for name in names(3)), day=2)
    refuse(world, context, sync_id, planned=False)
    held(world, context, sync_id, {"files": 3})


def test_unlinked_covers_count_as_files(world: World) -> None:
    context = world.context(queue={"removal_limit": 2, **AUTO})
    imported(world, context, 3)
    covers = [cover(f"c{name}", name) for name in names(3)]
    assert world.import_all(context, world.put(*covers, day=2)) == ["done"]
    sync_id = world.put(*covers, action="remove", day=3)
    refuse(world, context, sync_id, planned=True)
    assert live(world, "asset_cover") == 3
    held(world, context, sync_id, {"files": 3})
    assert live(world, "asset_cover") == 0


def test_members_of_a_removed_container_go_out_of_sight_with_it(world: World) -> None:
    context = world.context(queue={"removal_limit": 2, **AUTO})
    imported(world, context, 3, containers=[container("g", names(3)), container("h", names(2), "collection")])
    sync_id = world.put(action="remove", day=2, containers=[container("g", []), container("h", [], "collection")])
    refuse(world, context, sync_id, planned=True)
    assert live(world, "asset_gallery") == 1
    held(world, context, sync_id, {"members": 5})
    assert (live(world, "asset_gallery"), live(world, "asset_gallery_item")) == (0, 3)


@pytest.mark.parametrize(("limit", "outcome"), [(2, "held"), (3, "imported"), (4, "imported"), (0, "held")])
def test_exactly_the_limit_may_go(world: World, limit: int, outcome: str) -> None:
    context = world.context(queue={"removal_limit": limit, **AUTO})
    sync_id = world.put(*entries(imported(world, context, 3)), action="remove", day=2)
    run_automatically(world, context)
    assert world.status(sync_id) == outcome
    assert live(world) == (3 if outcome == "held" else 0)


def test_what_goes_nowhere_is_not_counted(world: World) -> None:
    """Tombstones, removals again, older removals, files that are replaced, members that a newer list brought."""
    context = world.context(queue={"removal_limit": 0, **AUTO})
    imported(world, context, 2, containers=[container("g", names(2))])
    late = world.put(*entries(["p0"]), completed_at="2026-03-31T00:00:00Z", action="remove")
    listed = container("g", [], complete=True)
    late_list = world.put(completed_at="2026-03-31T00:00:00Z", action="update", containers=[listed])
    replaced = photo("p0", title="new")
    replaced["files"][0]["path"] = "other.jpg"
    tombstones = world.put(*entries(["x", "y"]), action="remove", day=2)
    update = world.put(replaced, cover("c1", "p0"), day=2, action="update")
    other_cover = world.put(cover("c2", "p0"), day=3, action="update")
    assert world.import_all(context, late, late_list, tombstones, update, other_cover) == ["done"] * 5
    again = world.put(*entries(["x", "y"]), action="remove", day=4)
    assert world.import_all(context, again) == ["done"]
    assert world.one("SELECT COUNT(*) FROM ingest_batch_removal WHERE removed_assets + removed_files > 0") == 0


def test_a_list_with_one_new_member_counts_only_what_is_left_out(world: World) -> None:
    context = world.context(queue={"removal_limit": 1, **AUTO})
    imported(world, context, 3, containers=[container("g", names(3))])
    sync_id = world.put(photo("p9"), day=2, containers=[container("g", ["p0", "p1", "p9"], complete=True)])
    assert run_automatically(world, context) == "done"
    assert world.status(sync_id) == "imported"
    assert live(world, "asset_gallery_item") == 3


def test_a_held_batch_keeps_status_and_reason_through_a_preflight(world: World) -> None:
    context = world.context(queue={"removal_limit": 1})
    sync_id = world.put(*entries(imported(world, context, 2)), action="remove", day=2)
    refuse(world, context, sync_id, planned=True)
    (before,) = world.sql("SELECT status, last_error FROM ingest_batch WHERE sync_id = %s", sync_id)
    assert preflight(context, sync_id)["counts"]["will_remove"] == 2
    assert world.sql("SELECT status, last_error FROM ingest_batch WHERE sync_id = %s", sync_id) == [before]
    assert before[0] == "held"


def refuse(world: World, context: Context, sync_id: str, *, planned: bool) -> None:
    """Has a batch refused: when an operator queues it, or in a run without a plan."""
    if planned:
        world.scan(context)
        with pytest.raises(RemovalRefused):
            queue(context, sync_id)
    else:
        assert run_automatically(world, context) == "failed"


def test_the_hash_of_a_removed_asset_may_return(world: World) -> None:
    context = world.context(queue={"removal_limit": 1, **AUTO})
    imported(world, context, 1)
    assert world.import_all(context, world.put(*entries(["p0"]), action="remove", day=2)) == ["done"]
    assert world.sql("SELECT removed_assets, removed_files, removed_members FROM ingest_batch_removal") == [(1, 0, 0)]
    assert world.import_all(context, world.put(photo("p0"), day=3)) == ["done"]
    assert world.one("SELECT deleted_at FROM asset WHERE hash = %s", md5("p0")) is None


def test_an_update_that_was_planned_before_the_files_existed_is_held(world: World) -> None:
    context = world.context(queue={"removal_limit": 3, **AUTO}, worker={"chunk_items": 2})
    created = world.put(*(photo(name) for name in names(4)), day=1)
    update = world.put(*(photo(name, files=0) for name in names(4)), action="update", day=2, prior_sync_id=created)
    world.scan(context)
    for sync_id in (update, created):
        queue(context, sync_id)
    assert world.run_next(context) == "done"
    assert world.run_next(context) == "failed"
    assert live(world, "asset_file") == 4
    held(world, context, update, {"files": 4})


def test_a_list_that_was_planned_before_the_members_existed_is_held(world: World) -> None:
    context = world.context(queue={"removal_limit": 3, **AUTO})
    created = world.put(*(photo(name) for name in names(4)), day=1, containers=[container("g", names(4))])
    emptied = world.put(action="update", day=2, containers=[container("g", [], complete=True)], prior_sync_id=created)
    world.scan(context)
    for sync_id in (created, emptied):
        queue(context, sync_id)
    assert world.run_next(context) == "done"
    assert world.run_next(context) == "failed"
    held(world, context, emptied, {"members": 4})


def test_an_update_of_few_files_is_planned_once(world: World) -> None:
    context = world.context(queue={"removal_limit": 3})
    imported(world, context, 3)
    update = world.put(*(photo(name, title="new") for name in names(3)), action="update", day=2)
    assert world.import_all(context, update) == ["done"]
    assert len(events(world, update, "preflight_finished")) == 1

"""Removals are counted by batch: over all its manifests, without what is visible again, and again while it is held."""

from collections.abc import Callable

import pytest

from ingestd.errors import NotEligible, RemovalRefused
from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.preflight import preflight
from ingestd.pipeline.sweeps import Sweeper
from support.removals import container, entries, events, imported, live, names, queue, removed
from support.world import World, cover, photo


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"removal_limit": 3})


def restore_library(world: World, where: str = "1") -> None:
    """Makes removed rows visible again, as when the library alone is restored from a backup."""
    world.sql(f"UPDATE asset SET deleted_at = NULL, entry_sha256 = NULL WHERE {where}")
    for table in ("asset_file", "asset_cover", "asset_gallery", "asset_gallery_item"):
        world.sql(f"UPDATE {table} SET deleted_at = NULL")


def refusal(context: Context, sync_id: str) -> dict[str, int]:
    with pytest.raises(RemovalRefused) as caught:
        queue(context, sync_id)
    return {kind: count for kind, count in caught.value.counts.items() if count}


# --reimport


def removal_of_two(world: World, context: Context) -> str:
    return world.put(*entries(imported(world, context, 2)), action="remove", day=3)


def update_without_files(world: World, context: Context) -> str:
    imported(world, context, 2)
    return world.put(*(photo(name, files=0) for name in names(2)), action="update", day=3)


def empty_list(world: World, context: Context) -> str:
    imported(world, context, 2, containers=[container("g", names(2))])
    return world.put(action="update", day=3, containers=[container("g", [], complete=True)])


def removed_list(world: World, context: Context) -> str:
    imported(world, context, 2, containers=[container("g", names(2))])
    return world.put(action="remove", day=3, containers=[container("g", [])])


def unlinked_covers(world: World, context: Context) -> str:
    imported(world, context, 2)
    covers = [cover(f"c{name}", name) for name in names(2)]
    assert world.import_all(context, world.put(*covers, day=2)) == ["done"]
    return world.put(*covers, action="remove", day=3)


KINDS = [
    (removal_of_two, (2, 0, 0)),
    (update_without_files, (0, 2, 0)),
    (empty_list, (0, 0, 2)),
    (removed_list, (0, 0, 2)),
    (unlinked_covers, (0, 2, 0)),
]


@pytest.mark.parametrize(("case", "counts"), KINDS)
def test_a_reimport_into_a_restored_library_counts_each_row_once(
    world: World, context: Context, case: Callable[[World, Context], str], counts: tuple[int, int, int]
) -> None:
    sync_id = case(world, context)
    assert world.import_all(context, sync_id) == ["done"]
    for _ in range(2):
        restore_library(world)
        queue(context, sync_id, scope=Scope.REIMPORT)
        assert world.run_next(context) == "done"
        assert world.status(sync_id) == "imported"
        assert removed(world, sync_id) == removed(world, sync_id, "expected") == counts


def test_a_reimport_counts_what_is_still_out_of_sight_with_what_goes_now(world: World, context: Context) -> None:
    sync_id = world.put(*entries(imported(world, context, 3)), action="remove", day=2)
    assert world.import_all(context, sync_id) == ["done"]
    restore_library(world, "title <> 'p0'")
    queue(context, sync_id, scope=Scope.REIMPORT)
    assert world.run_next(context) == "done"
    assert removed(world, sync_id) == (3, 0, 0)


def test_a_reimport_is_held_when_the_library_has_grown(world: World, context: Context) -> None:
    imported(world, context, 2, containers=[container("g", names(2))])
    sync_id = world.put(action="update", day=5, containers=[container("g", [], complete=True)])
    assert world.import_all(context, sync_id) == ["done"]
    world.sql("UPDATE asset_gallery_item SET deleted_at = NULL LIMIT 1")
    more = world.put(*map(photo, names(3, "q")), day=4, containers=[container("g", names(3, "q"))])
    assert world.import_all(context, more) == ["done"]
    world.sql("UPDATE asset_gallery SET complete_at = NULL, complete_sync_id = NULL")
    queue(context, more, scope=Scope.REIMPORT)
    assert world.run_next(context) == "done"
    assert live(world, "asset_gallery_item") == 4
    queue(context, sync_id, scope=Scope.REIMPORT)
    assert world.run_next(context) == "failed"
    assert world.status(sync_id) == "held"
    assert live(world, "asset_gallery_item") == 4
    assert removed(world, sync_id, "expected") == (0, 0, 5), "one is out of sight since the first import, four would go"


# deliveries under one sync_id


def deliver(world: World, context: Context, sync_id: str | None, names_: list[str]) -> str:
    sync_id = world.put(*entries(names_), sync_id=sync_id, action="remove", day=2)
    world.scan(context)
    return sync_id


def delivered_and_imported(world: World, context: Context, sync_id: str | None, names_: list[str]) -> str:
    sync_id = deliver(world, context, sync_id, names_)
    queue(context, sync_id)
    assert world.run_next(context) == "done"
    return sync_id


def test_another_delivery_goes_on_with_the_count(world: World, context: Context) -> None:
    made = imported(world, context, 8)
    sync_id = delivered_and_imported(world, context, None, made[:2])
    deliver(world, context, sync_id, made[2:4])
    assert refusal(context, sync_id) == {"assets": 4}
    assert "2 of these rows so far" in world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id)
    delivered_and_imported(world, context, sync_id, made[4:5])
    assert removed(world, sync_id) == (3, 0, 0)
    for name in made[5:]:
        deliver(world, context, sync_id, [name])
        assert refusal(context, sync_id) == {"assets": 4}
    assert live(world) == 5


def test_the_count_goes_on_while_writing(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any count ahead of the first write."""
    made = imported(world, context, 4)
    sync_id = delivered_and_imported(world, context, None, made[:2])
    deliver(world, context, sync_id, made[2:])
    monkeypatch.setattr("ingestd.pipeline.removals.check", lambda *_: None)
    queue(context, sync_id)
    assert world.run_next(context) == "failed"
    assert (world.status(sync_id), live(world)) == ("held", 2)


def test_what_was_approved_is_not_counted_again(world: World, context: Context) -> None:
    made = imported(world, context, 10)
    sync_id = delivered_and_imported(world, context, None, made[:2])
    deliver(world, context, sync_id, made[2:6])
    assert refusal(context, sync_id) == {"assets": 6}
    queue(context, sync_id, force=True)
    assert world.run_next(context) == "done"
    delivered_and_imported(world, context, sync_id, made[6:9])
    deliver(world, context, sync_id, made[9:])
    assert refusal(context, sync_id) == {"assets": 10}
    assert "9 of these rows so far, 6 of them approved" in world.one(
        "SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id
    )


def test_manifests_that_take_turns_with_an_approved_one_are_counted(world: World, context: Context) -> None:
    made = imported(world, context, 10)
    sync_id = deliver(world, context, None, made[:4])
    queue(context, sync_id, force=True)
    assert world.run_next(context) == "done"
    for gone in (made[4:6], made[6:7]):
        delivered_and_imported(world, context, sync_id, gone)
        delivered_and_imported(world, context, sync_id, made[:4])
    deliver(world, context, sync_id, made[7:8])
    assert refusal(context, sync_id) == {"assets": 8}
    assert live(world) == 3


def test_rows_that_another_bundle_brought_back_are_not_counted(world: World, context: Context) -> None:
    made = imported(world, context, 5)
    sync_id = delivered_and_imported(world, context, None, made[:3])
    assert world.import_all(context, world.put(*map(photo, made[:2]), day=3)) == ["done"]
    delivered_and_imported(world, context, sync_id, made[3:])
    assert removed(world, sync_id) == (3, 0, 0)


# while a batch is held


def test_a_held_batch_shows_what_it_would_remove_now(world: World, context: Context) -> None:
    sync_id = deliver(world, context, None, imported(world, context, 6))
    assert refusal(context, sync_id) == {"assets": 6}
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title = 'p0'")
    preflight(context, sync_id)
    assert removed(world, sync_id, "refused") == (6, 0, 0)
    assert removed(world, sync_id, "expected") == (5, 0, 0)
    assert world.status(sync_id) == "held"
    assert "would remove 5 assets, more" in world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id)
    assert refusal(context, sync_id) == {"assets": 5}
    assert ["5 assets" in event["reason"] for event in events(world, sync_id, "removal_refused")] == [False, True]


@pytest.mark.parametrize(("seen", "now"), [("0", 0), ("title < 'p5'", 5), ("1", 6)])
def test_an_approval_records_what_was_refused_and_what_it_is_now(
    world: World, context: Context, seen: str, now: int
) -> None:
    """More than were reviewed are not approved before they were reviewed too."""
    sync_id = deliver(world, context, None, imported(world, context, 6))
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title > 'p3'")
    assert refusal(context, sync_id) == {"assets": 4}
    world.sql(f"UPDATE asset SET deleted_at = IF({seen}, NULL, UTC_TIMESTAMP(6))")
    if now > 4:
        with pytest.raises(NotEligible, match=f"{now} assets by now, more than the 4"):
            queue(context, sync_id, force=True)
    queue(context, sync_id, force=True)
    (approved,) = events(world, sync_id, "removal_approved")
    assert (approved["assets"], approved["now"]) == (4, {"assets": now, "files": 0, "members": 0})
    assert world.run_next(context) == "done"
    assert live(world) == 0


def test_a_hold_whose_count_fell_ends_when_a_person_queues_the_batch(world: World, context: Context) -> None:
    sync_id = deliver(world, context, None, imported(world, context, 4))
    assert refusal(context, sync_id) == {"assets": 4}
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title = 'p0'")
    preflight(context, sync_id)
    assert world.status(sync_id) == "held"
    assert "now it would remove 3 assets, within" in world.one(
        "SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id
    )
    sweeper = Sweeper(world.context(queue={"auto": ["remove"], "removal_limit": 3}))
    assert [sweeper.queue_new(), sweeper.retry(), sweeper.revive()] == [0, 0, 0]
    queue(context, sync_id)
    assert world.run_next(context) == "done"
    assert (world.status(sync_id), live(world)) == ("imported", 0)
    assert events(world, sync_id, "removal_approved") == []


def test_a_manifest_that_comes_back_does_not_bring_its_old_count(world: World, context: Context) -> None:
    made = imported(world, context, 4)
    sync_id = deliver(world, context, None, made)
    assert refusal(context, sync_id) == {"assets": 4}
    deliver(world, context, sync_id, made[:1])
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6)")
    deliver(world, context, sync_id, made)
    queue(context, sync_id)
    assert world.run_next(context) == "done"
    assert removed(world, sync_id) == (0, 0, 0)

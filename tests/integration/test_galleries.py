"""Galleries and their members, from lists that are complete or not, in any order."""

import json

import pytest

from ingestd.pipeline.sweeps import Sweeper
from support.library_rows import live
from support.world import World, md5, photo


def gallery(name: str, *members: str, **more: object) -> dict[str, object]:
    return {"type": "gallery", "hash": md5(name), "title": name, "items": [md5(m) for m in members], **more}


def members(world: World) -> dict[str, int | None]:
    rows = world.sql(
        "SELECT a.title, IF(i.deleted_at IS NULL, i.position, NULL) FROM asset_gallery_item i"
        " JOIN asset a ON a.id = i.asset_id WHERE a.asset_type IS NOT NULL ORDER BY i.position, a.title"
    )
    return dict(rows)


def test_galleries_grow_and_shrink_only_when_complete(world: World) -> None:
    context = world.context()
    first = world.put(photo("a"), photo("b"), containers=[gallery("g", "a", "b")], day=1)
    second = world.put(photo("c"), containers=[gallery("g", "c", "a")], day=2)
    world.import_all(context, first, second)
    assert members(world) == {"c": 0, "a": 1, "b": 1}
    third = world.put(containers=[gallery("g", "b", "c", complete=True)], day=3)
    world.import_all(context, third)
    assert members(world) == {"b": 0, "c": 1, "a": None}
    assert world.status(third) == "imported"


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("newer_first", [True, False])
def test_lists_that_arrive_in_any_order_leave_the_same_gallery(world: World, complete: bool, newer_first: bool) -> None:
    context = world.context()
    assets = world.put(photo("a"), photo("b"), photo("c"), day=1)
    older = world.put(containers=[gallery("g", "a", "b")], day=2)
    newer = world.put(containers=[gallery("g", "c", "b", complete=complete)], day=3)
    world.import_all(context, assets, *((newer, older) if newer_first else (older, newer)))
    shown = {name for name, position in members(world).items() if position is not None}
    assert shown == ({"b", "c"} if complete else {"a", "b", "c"})
    assert members(world)["b"] == 1


def test_a_membership_said_again_is_safe_from_a_late_complete_list(world: World) -> None:
    context = world.context()
    assets = world.put(photo("x"), photo("y"), day=1)
    first, third = (world.put(containers=[gallery("g", "x")], day=day) for day in (2, 4))
    late = world.put(containers=[gallery("g", "y", complete=True)], day=3)
    world.import_all(context, assets, first, third, late)
    assert members(world)["x"] == 0


def test_a_gallery_with_missing_members_is_completed_later(world: World) -> None:
    context = world.context(queue={"revive_interval": 0.001})
    first = world.put(photo("a"), containers=[gallery("g", "a", "late")], day=1)
    world.import_all(context, first)
    assert members(world) == {"a": 0}
    assert world.status(first) == "partial"
    assert json.loads(world.one("SELECT missing FROM ingest_batch_container")) == [md5("late")]
    world.import_all(context, world.put(photo("late"), day=2))
    assert Sweeper(context).revive() == 1
    assert world.run_next(context) == "done"
    assert members(world) == {"a": 0, "late": 1}
    assert world.status(first) == "imported"


def test_removing_a_gallery_leaves_its_members(world: World) -> None:
    context = world.context()
    first = world.put(photo("a"), containers=[gallery("g", "a")], day=1)
    gone = world.put(action="remove", containers=[gallery("g")], day=2)
    late = world.put(containers=[gallery("g", "a")], day=1)
    world.import_all(context, first, gone, late)
    assert world.one("SELECT deleted_at IS NOT NULL FROM asset_gallery") == 1
    assert world.one("SELECT deleted_at IS NULL FROM asset_gallery_item") == 1
    assert live(world, "a")

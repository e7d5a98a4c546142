"""A manifest that is delivered again with another action asks for something else of every entry, changed or not."""

from typing import Any

import pytest

from ingestd.errors import RemovalRefused
from ingestd.pipeline.context import Context
from support.removals import container, entries, imported, live, names, queue
from support.world import World, cover

Content = dict[str, Any]
ASSETS: Content = {"items": entries(names(3))}
COVERS: Content = {"items": [cover(f"c{name}", name) for name in names(3)]}
LISTS: Content = {"containers": [container("g", names(3)), container("h", names(3), "collection")]}


@pytest.fixture
def context(world: World) -> Context:
    """With three assets in the library."""
    made = world.context()
    imported(world, made, 3)
    return made


def deliver(world: World, context: Context, action: str, day: int, content: Content, sync_id: str | None = None) -> str:
    listed = {"containers": content.get("containers", [])}
    sync_id = world.put(*content.get("items", ()), sync_id=sync_id, action=action, day=day, **listed)
    assert world.import_all(context, sync_id) == ["done"]
    return sync_id


@pytest.mark.parametrize("through_invalid", [False, True])
@pytest.mark.parametrize(
    ("content", "table"),
    [(ASSETS, "asset"), (COVERS, "asset_cover"), (LISTS, "asset_gallery"), (LISTS, "asset_collection")],
)
def test_each_action_is_carried_out(
    world: World, context: Context, content: Content, table: str, through_invalid: bool
) -> None:
    sync_id = deliver(world, context, "update", 2, content)
    there = live(world, table)
    for day, action in ((3, "remove"), (4, "update"), (5, "remove")):
        if through_invalid:
            world.put(sync_id=sync_id, action=action, day=day, verification={"passed": False})
            world.scan(context)
            assert world.status(sync_id) == "invalid"
        deliver(world, context, action, day, content, sync_id)
        assert live(world, table) == (there if action == "update" else 0)
        assert world.status(sync_id) == "imported"


def test_a_removal_of_the_same_entries_is_counted(world: World, context: Context) -> None:
    sync_id = deliver(world, context, "update", 2, ASSETS)
    world.put(*ASSETS["items"], sync_id=sync_id, action="remove", day=3)
    strict = world.context(queue={"removal_limit": 2})
    world.scan(strict)
    with pytest.raises(RemovalRefused, match="would remove 3 assets"):
        queue(strict, sync_id)


@pytest.mark.parametrize("way", ["scan", "queue", "queued before"])
@pytest.mark.parametrize(("content", "table"), [(ASSETS, "asset"), (COVERS, "asset_cover")])
def test_each_action_is_carried_out_once_the_limit_is_raised(
    world: World, context: Context, content: Content, table: str, way: str
) -> None:
    """A manifest beyond a limit is recorded without its action."""
    strict = world.context(mount={"max_items": 2})
    sync_id = deliver(world, context, "update", 2, content)
    there = live(world, table)
    for day, action in ((3, "remove"), (4, "update"), (5, "remove")):
        if way == "queued before":
            queue(context, sync_id)
        world.put(*content["items"], sync_id=sync_id, action=action, day=day)
        world.scan(strict)
        assert world.one("SELECT invalid_basis FROM ingest_batch WHERE sync_id = %s", sync_id) == "setting"
        if way == "scan":
            world.scan(context)
        queue(context, sync_id)
        assert world.run_next(context) == "done"
        assert live(world, table) == (there if action == "update" else 0)
        world.scan(context)
        assert world.sql("SELECT status, action FROM ingest_batch WHERE sync_id = %s", sync_id) == [
            ("imported", action)
        ]

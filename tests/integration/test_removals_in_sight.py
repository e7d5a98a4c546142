"""The limit on removals counts what readers see: files and covers of live assets, and live members of live lists."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ingestd.pipeline.context import Context
from support.removals import container, entries, imported, names, queue, removed, run_automatically
from support.world import World, cover, photo

AUTO = {"auto": ["create", "update", "remove"]}
Case = Callable[[World, Context], Any]


def hide(world: World, table: str) -> None:
    """Takes all rows of a table out of sight, as if another bundle or a site had done so."""
    world.sql(f"UPDATE {table} SET deleted_at = UTC_TIMESTAMP(6)")


def with_gallery(world: World, context: Context, kind: str = "gallery") -> None:
    imported(world, context, 3, files=2, containers=[container("g", names(3), kind)])


def list_that_names_removed_assets(world: World, context: Context, kind: str, *, named: int) -> str:
    with_gallery(world, context, kind)
    hide(world, "asset")
    return world.put(action="update", day=3, containers=[container("g", names(named), kind, complete=True)])


def removal_of_a_list_of_removed_assets(world: World, context: Context, kind: str) -> str:
    with_gallery(world, context, kind)
    hide(world, "asset")
    return world.put(action="remove", day=3, containers=[container("g", [], kind)])


def removed_list_that_returns_empty(world: World, context: Context) -> str:
    with_gallery(world, context)
    hide(world, "asset_gallery")
    return world.put(action="update", day=3, containers=[container("g", [], complete=True)])


def removed_assets_that_return_without_files(world: World, context: Context) -> str:
    imported(world, context, 3, files=2)
    hide(world, "asset")
    return world.put(*(photo(name, files=0) for name in names(3)), action="update", day=3)


def covers_of_removed_assets(world: World, context: Context) -> str:
    imported(world, context, 3)
    covers = [cover(f"c{name}", name) for name in names(3)]
    assert world.import_all(context, world.put(*covers, day=2)) == ["done"]
    hide(world, "asset")
    return world.put(*covers, action="remove", day=3)


NOTHING_GOES = [
    *(
        partial(list_that_names_removed_assets, kind=kind, named=n)
        for kind in ("gallery", "collection")
        for n in (3, 0)
    ),
    *(partial(removal_of_a_list_of_removed_assets, kind=kind) for kind in ("gallery", "collection")),
    removed_list_that_returns_empty,
    removed_assets_that_return_without_files,
    covers_of_removed_assets,
]


@pytest.mark.parametrize("case", NOTHING_GOES)
def test_what_readers_do_not_see_is_not_counted(world: World, case: Case) -> None:
    context = world.context(queue={"removal_limit": 0, **AUTO})
    sync_id = case(world, context)
    assert run_automatically(world, context) == "done"
    assert removed(world, sync_id) == (0, 0, 0)


def assets_with_their_covers(world: World, context: Context) -> str:
    imported(world, context, 3)
    covers = [cover(f"c{name}", name) for name in names(3)]
    assert world.import_all(context, world.put(*covers, day=2)) == ["done"]
    return world.put(*covers, *entries(names(2)), action="remove", day=3)


def assets_with_their_lists(world: World, context: Context) -> str:
    imported(world, context, 3, containers=[container("g", names(3)), container("h", names(3), "collection")])
    lists = [container("g", []), container("h", [], "collection")]
    return world.put(*entries(names(2)), action="remove", day=3, containers=lists)


def assets_that_return_and_leave_a_list(world: World, context: Context) -> str:
    """The update makes two visible again, in the list as well, and then the list drops them."""
    imported(world, context, 3, containers=[container("g", names(3))])
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title <> 'p2'")
    return world.put(*map(photo, names(2)), action="update", day=3, containers=[container("g", ["p2"], complete=True)])


def files_of_a_live_and_a_removed_asset(world: World, context: Context) -> str:
    imported(world, context, 2, files=3)
    world.sql("UPDATE asset SET deleted_at = UTC_TIMESTAMP(6) WHERE title = 'p1'")
    return world.put(*(photo(name, files=1) for name in names(2)), action="update", day=3)


SOME_GO = [
    (assets_with_their_covers, (2, 1, 0)),
    (assets_with_their_lists, (2, 0, 2)),
    (assets_that_return_and_leave_a_list, (0, 0, 2)),
    (files_of_a_live_and_a_removed_asset, (0, 2, 0)),
]


@pytest.mark.parametrize(("case", "counts"), SOME_GO)
def test_the_forecast_counts_what_the_import_will_remove(
    world: World, case: Case, counts: tuple[int, int, int]
) -> None:
    """With a limit of one less, the batch is held before anything is written; approved, it removes as many."""
    context = world.context(queue={"removal_limit": sum(counts) - 1, **AUTO})
    sync_id = case(world, context)
    assert run_automatically(world, context) == "failed"
    assert world.status(sync_id) == "held"
    assert removed(world, sync_id, "expected") == counts
    assert removed(world, sync_id) == (0, 0, 0)
    queue(context, sync_id, force=True)
    assert world.run_next(context) == "done"
    assert removed(world, sync_id) == counts

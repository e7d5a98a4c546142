"""The limit on removals when a removal failed in part and is tried again: what goes with its asset counts once."""

from collections.abc import Callable

import pytest

from ingestd.errors import RemovalRefused
from ingestd.model import Scope
from ingestd.pipeline.context import Context
from ingestd.pipeline.sweeps import Sweeper
from support.refusals import refused_changes, refused_events
from support.removals import container, entries, imported, live, names, queue, removed
from support.world import World, cover, md5, photo

Case = Callable[[World, Context], str]
LAST = "NEW.title = 'p2'"
SCOPES = [Scope.ALL, Scope.FAILED]


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"removal_limit": 3, "retry_pauses": [0.001]}, worker={"chunk_items": 2})


def with_a_gallery(world: World, context: Context, kind: str = "gallery") -> str:
    made = imported(world, context, 3, containers=[container("g", names(3), kind)])
    return world.put(*entries(made), action="remove", day=3, containers=[container("g", [], kind)])


def with_a_collection(world: World, context: Context) -> str:
    return with_a_gallery(world, context, "collection")


def with_covers(world: World, context: Context) -> str:
    made = imported(world, context, 3)
    covers = [cover(f"c{name}", name) for name in made]
    assert world.import_all(context, world.put(*covers, day=2)) == ["done"]
    return world.put(*entries(made), *covers, action="remove", day=3)


def run_in_parts(world: World, context: Context, sync_id: str, *tables: str) -> None:
    """Runs the removal while the site refuses to change some rows: the last asset, and all of the other tables."""
    world.scan(context)
    queue(context, sync_id)
    with refused_changes(world, {table: LAST if table == "asset" else "TRUE" for table in tables}):
        assert world.run_next(context) == "done"
    assert world.status(sync_id) in ("partial", "failed")
    assert live(world) == 1


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("case", "table"),
    [
        (with_a_gallery, "asset_gallery"),
        (with_a_collection, "asset_collection"),
        (with_covers, "asset_cover"),
    ],
)
def test_what_goes_with_an_asset_that_failed_counts_once(
    world: World, context: Context, case: Case, table: str, scope: Scope
) -> None:
    sync_id = case(world, context)
    run_in_parts(world, context, sync_id, "asset", table)
    assert removed(world, sync_id) == (2, 0, 0)
    queue(context, sync_id, scope=scope)
    assert world.run_next(context) == "done"
    assert (world.status(sync_id), live(world)) == ("imported", 0)
    assert removed(world, sync_id) == removed(world, sync_id, "expected") == (3, 0, 0)


def test_a_list_that_failed_alone_counts_nothing_of_removed_assets(world: World, context: Context) -> None:
    sync_id = with_a_gallery(world, context)
    world.scan(context)
    queue(context, sync_id)
    with refused_changes(world, {"asset_gallery": "TRUE"}):
        assert world.run_next(context) == "done"
    queue(context, sync_id, scope=Scope.FAILED)
    assert world.run_next(context) == "done"
    assert removed(world, sync_id) == removed(world, sync_id, "expected") == (3, 0, 0)


@pytest.mark.parametrize("case", [with_a_gallery, with_covers])
def test_what_went_while_its_asset_was_still_seen_counts_beside_it(world: World, context: Context, case: Case) -> None:
    """Rather too many than too few: which rows went with which asset is not recorded."""
    sync_id = case(world, context)
    run_in_parts(world, context, sync_id, "asset")
    assert sum(removed(world, sync_id)) == 3
    queue(context, sync_id, scope=Scope.FAILED)
    assert world.run_next(context) == "failed"
    assert (world.status(sync_id), live(world)) == ("held", 1)
    queue(context, sync_id, force=True)
    assert world.run_next(context) == "done"
    assert (world.status(sync_id), live(world)) == ("imported", 0)


def test_the_retry_of_a_sweep_counts_once(world: World, context: Context) -> None:
    """A job for the failed items that fails as a whole is tried again by the daemon."""
    sync_id = with_a_gallery(world, context)
    run_in_parts(world, context, sync_id, "asset", "asset_gallery")
    queue(context, sync_id, scope=Scope.FAILED)
    with refused_events(world, "import_started"):
        assert world.run_next(context) == "failed"
    assert Sweeper(context).retry() == 1
    assert world.run_next(context) == "done"
    assert (world.status(sync_id), removed(world, sync_id)) == ("imported", (3, 0, 0))


def test_members_of_an_asset_that_fails_for_good_count(world: World, context: Context) -> None:
    """Its removal is not tried again, so its membership goes alone."""
    made = imported(world, context, 4, containers=[container("g", names(4))])
    kept = {"type": "video", "hash": md5(made[3])}
    removal = world.put(*entries(made[:3]), kept, action="remove", day=3, containers=[container("g", [])])
    world.scan(context)
    with pytest.raises(RemovalRefused) as caught:
        queue(context, removal)
    assert caught.value.counts == {"assets": 3, "files": 0, "members": 1}


def test_members_of_an_asset_that_a_newer_bundle_spoke_of_count(world: World, context: Context) -> None:
    """The removal that failed is superseded: the asset stays, its membership goes."""
    sync_id = with_a_gallery(world, context)
    run_in_parts(world, context, sync_id, "asset", "asset_gallery")
    assert world.import_all(context, world.put(photo("p2", title="newer"), action="update", day=4)) == ["done"]
    queue(context, sync_id)
    assert world.run_next(context) == "done"
    assert (live(world), removed(world, sync_id), removed(world, sync_id, "expected")) == (1, (2, 0, 1), (2, 0, 1))


def test_members_of_other_assets_count_beside_failed_items(world: World, context: Context) -> None:
    made = imported(world, context, 5, containers=[container("g", names(5))])
    sync_id = world.put(*entries(made[:3]), action="remove", day=3)
    world.scan(context)
    queue(context, sync_id)
    with refused_changes(world, {"asset": LAST}):
        assert world.run_next(context) == "done"
    world.put(*entries(made[:3]), sync_id=sync_id, action="remove", day=3, containers=[container("g", [])])
    world.scan(context)
    with pytest.raises(RemovalRefused) as caught:
        queue(context, sync_id)
    assert caught.value.counts == {"assets": 3, "files": 0, "members": 2}

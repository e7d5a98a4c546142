"""The limit on removals as it is by default: 1,000 rows may go, 1,001 may not; and two workers at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestd.errors import RemovalRefused
from ingestd.pipeline.context import Context
from support.removals import container, entries, imported, live, names, queue
from support.world import World, photo

ROWS = 1001


@pytest.fixture
def context(world: World) -> Context:
    context = world.context(mount={"verify": "none"})
    bundle = world.put(*(photo(name) for name in names(ROWS)), containers=[container("g", names(ROWS))])
    assert world.import_all(context, bundle) == ["done"]
    return context


@pytest.mark.parametrize("count", [1000, 1001])
@pytest.mark.parametrize("kind", ["members", "files", "assets"])
def test_1000_rows_may_go_and_1001_may_not(world: World, context: Context, kind: str, count: int) -> None:
    kept, gone = names(ROWS)[count:], names(count)
    if kind == "members":
        bundle = world.put(action="update", day=2, containers=[container("g", kept, complete=True)])
    elif kind == "files":
        bundle = world.put(*(photo(name, files=0) for name in gone), action="update", day=2)
    else:
        bundle = world.put(*entries(gone), action="remove", day=2)
    world.scan(context)
    table = {"members": "asset_gallery_item", "files": "asset_file", "assets": "asset"}[kind]
    if count > 1000:
        with pytest.raises(RemovalRefused, match="would remove 1001 "):
            queue(context, bundle)
        assert (world.status(bundle), live(world, table)) == ("held", ROWS)
    else:
        queue(context, bundle)
        assert world.run_next(context) == "done"
        assert (world.status(bundle), live(world, table)) == ("imported", ROWS - count)


def test_two_workers_that_remove_the_same_assets_count_each_once(world: World) -> None:
    settings = {"queue": {"removal_limit": 20}, "worker": {"chunk_items": 3}}
    contexts = [world.context(**settings) for _ in range(2)]
    gone = imported(world, contexts[0], 20)
    bundles = [world.put(*entries(gone), action="remove", day=day) for day in (2, 3)]
    world.scan(contexts[0])
    for bundle in bundles:
        queue(contexts[0], bundle)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(world.run_next, contexts, range(2))) == ["done", "done"]
    assert live(world) == 0
    assert world.one("SELECT SUM(removed_assets) FROM ingest_batch_removal") == 20

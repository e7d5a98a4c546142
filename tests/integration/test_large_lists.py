"""Lists of very many members cost the daemon little memory when they are removed."""

import tracemalloc

import pytest

from ingestd.pipeline.preflight import preflight
from support.removals import container, removed
from support.scale import scaled
from support.world import World, md5

MEMBERS = scaled(5_000, 1_000_000)
MAX_BYTES = scaled(300_000, 50 * 2**20)


def put_large_list(world: World, kind: str) -> None:
    """A live list of many live photos, as rows."""
    world.sql(
        "INSERT INTO asset (asset_type, hash, title, path, synced_at, sync_id, created_at, updated_at)"
        " SELECT 'photo', MD5(seq), seq, seq, '2026-04-01', UUID(), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)"
        f" FROM seq_1_to_{MEMBERS}"
    )
    world.sql(f"INSERT INTO asset_{kind} (hash, synced_at, sync_id) VALUES (%s, '2026-04-01', UUID())", md5("large"))
    world.sql(
        f"INSERT INTO asset_{kind}_item ({kind}_id, asset_id, position, synced_at, sync_id)"
        f" SELECT g.id, a.id, a.id, '2026-04-01', UUID() FROM asset_{kind} g JOIN asset a"
    )


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["gallery", "collection"])
def test_a_plan_to_remove_a_large_list_only_counts_its_members(world: World, kind: str) -> None:
    put_large_list(world, kind)
    context = world.context(queue={"removal_limit": 10})
    small = world.put(action="remove", day=2, containers=[container("unknown", [], kind)])
    large = world.put(action="remove", day=3, containers=[container("large", [], kind)])
    world.scan(context)
    preflight(context, small)
    tracemalloc.start()
    try:
        preflight(context, large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert removed(world, large, "expected") == (0, 0, MEMBERS)
    assert peak < MAX_BYTES

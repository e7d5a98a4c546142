"""Bundles of one time, and sweeps that import them again when their order has become another one."""

from typing import Any

from ingestd.pipeline.context import Context
from ingestd.pipeline.sweeps import Sweeper
from support.order_world import sync_id_of
from support.world import World, photo

NOON = "2026-04-01T12:00:00Z"
OLDER, NEWER, PRIOR = (sync_id_of(name) for name in ("1", "2", "3"))
"""`OLDER` is the older one of two bundles of one time, as long as it does not follow another"""


def put(world: World, sync_id: str, *items: Any, prior: str | None = None, **more: Any) -> str:
    return world.put(*items, sync_id=sync_id, prior_sync_id=prior, **{"completed_at": NOON, **more})


def sweep(world: World, context: Context) -> int:
    """Sweeps until nothing is found, runs what was queued; returns how many jobs that were."""
    queued = 0
    while found := Sweeper(context).place():
        queued += found
        while world.run_next(context):
            Sweeper(context).promote()
    return queued


def jobs(world: World, sync_id: str) -> list[tuple[Any, ...]]:
    return world.sql(
        "SELECT j.requested_by, j.scope, j.state FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"
        " WHERE b.sync_id = %s ORDER BY j.id",
        sync_id,
    )


def unplaced(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM ingest_batch WHERE is_placed = %s", 0))


def title(world: World) -> str | None:
    """The title of the only live asset."""
    return str(world.one("SELECT title FROM asset WHERE deleted_at IS NULL"))


def follow_late(world: World, context: Context) -> None:
    """Imports two bundles of one time; then what the older one follows arrives, which makes it the newer one."""
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, OLDER, NEWER)
    put(world, PRIOR)
    world.scan(context)

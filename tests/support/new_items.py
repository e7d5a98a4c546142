"""Large new bundles, whose items have no rows before they are decided, made of a few items."""

from typing import Any

from ingestd.pipeline.context import Context
from ingestd.pipeline.sweeps import Sweeper
from support.world import World

STEP = 4
"""items of a chunk"""
LOOK_UP = "STRAIGHT_JOIN asset a ON a.hash = j.hash"


def context_of(world: World) -> Context:
    """Queues what is new by itself, and imports few items together."""
    return world.context(worker={"chunk_items": STEP}, queue={"auto": ["create", "update", "remove"]})


def queued(world: World, context: Context, *items: Any, **options: Any) -> str:
    sync_id = world.put(*items, **options)
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    return sync_id

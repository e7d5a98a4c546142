"""Bundles whose manifests hang in the mount."""

from support.faulty_fuse import FaultyFuse, Step
from support.world import World, photo


def hang(world: World, faulty: FaultyFuse, count: int, step: Step = "read") -> set[str]:
    """Delivers bundles whose manifest hangs."""
    bundles = {world.put(photo("bad"), ready=False) for _ in range(count)}
    for sync_id in bundles:
        faulty.hang(f"sync/{sync_id}.json", step)
        world.file(f"sync/{sync_id}.ready", b"")
    return bundles

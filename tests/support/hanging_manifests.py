"""Bundles whose manifests hang in the mount, and the helper that finds that out."""

import pytest

from ingestd.mount import probe_helper
from ingestd.mount.prober import Prober
from support.faulty_fuse import FaultyFuse, Step
from support.world import World, photo


def hang(world: World, faulty: FaultyFuse, count: int, step: Step = "read") -> set[str]:
    """Delivers bundles whose manifest hangs."""
    bundles = {world.put(photo("bad"), ready=False) for _ in range(count)}
    for sync_id in bundles:
        faulty.hang(f"sync/{sync_id}.json", step)
        world.file(f"sync/{sync_id}.ready", b"")
    return bundles


def waited(prober: Prober) -> Prober:
    """A prober that has waited a little for answers."""
    prober.wait(0.1)
    return prober


def pid_of(prober: Prober) -> int:
    helper = prober._helpers[0]._helper
    assert helper is not None
    return helper._process.pid


def ping_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a helper that is silent asked soon whether it is alive."""
    monkeypatch.setattr(probe_helper, "PING_AFTER", 0.1)
    monkeypatch.setattr(probe_helper, "PING_SECONDS", 0.5)

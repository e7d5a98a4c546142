"""Probes of more manifests that hang than one helper may open files for: others probe them, so that none is read."""

import pytest

from ingestd.mount import prober as prober_module
from ingestd.mount.prober import MAX_HELPERS, Prober
from support.faulty_fuse import FaultyFuse
from support.hanging_manifests import hang, waited
from support.reaped import until_reaped
from support.wait import until
from support.world import World, photo

EACH = 2


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module, "max_probes", lambda: EACH)


def ask(prober: Prober, *sync_ids: str) -> None:
    for sync_id in sync_ids:
        prober.ask(sync_id)


def sizes(prober: Prober) -> list[int]:
    return [len(helper) for helper in prober._helpers]


@pytest.mark.parametrize("count", [1, 2, 3, 5, EACH * MAX_HELPERS - 1])
def test_a_manifest_is_answered_beside_those_that_hang(world: World, faulty: FaultyFuse, count: int) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    bad, prober = hang(world, faulty, count), mount.prober
    ask(prober, *bad)
    good = world.put(photo("good"))
    ask(prober, good)
    until(lambda: waited(prober).take(good) is not None, what="for the answer")
    assert (sum(sizes(prober)), max(sizes(prober))) == (count, min(count, EACH))
    assert all(prober.take(sync_id) is None for sync_id in bad)
    assert all(prober.silent_for(sync_id) > 0 for sync_id in bad)
    faulty.clear()
    until(lambda: not waited(prober).is_busy)
    waited(prober)
    running = [helper for helper in prober._helpers if helper._helper is not None]
    assert running == prober._helpers[:1], "the others are ended"
    until_reaped(mount)


def test_what_all_helpers_may_not_open_files_for_waits(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point}).mount
    bad, prober = hang(world, faulty, EACH * MAX_HELPERS), mount.prober
    ask(prober, *bad)
    good = world.put(photo("good"))
    ask(prober, good, *bad)
    for _ in range(3):
        assert (waited(prober).take(good), prober.silent_for(good)) == (None, 0.0)
    assert sizes(prober) == [EACH] * MAX_HELPERS
    assert all(prober.silent_for(sync_id) > 0 for sync_id in bad)
    faulty.clear()
    until(lambda: waited(prober).take(good) is not None)
    until_reaped(mount)


def test_no_more_than_the_limit_is_asked_in_all(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober_module, "MAX_PROBES", 3)
    mount = world.context(mount={"root": faulty.point}).mount
    bad, prober = hang(world, faulty, 4), mount.prober
    ask(prober, *bad)
    assert (sum(sizes(prober)), prober.is_busy) == (3, True)
    faulty.clear()
    until(lambda: not waited(prober).is_busy)
    assert all(prober.take(sync_id) is not None for sync_id in bad)
    until_reaped(mount)

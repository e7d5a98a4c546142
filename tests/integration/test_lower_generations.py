"""Bundles of one time of which one follows fewer than before: what was older than it until then is imported again."""

from collections.abc import Callable

import pytest

from ingestd.pipeline.context import Context
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import batch
from ingestd.store.db import Tx
from support.equal_times import NEWER, OLDER, PRIOR, jobs, put, sweep, title, unplaced
from support.order_world import sync_id_of
from support.world import World, photo

LATER, EARLIER = "2026-04-02T12:00:00Z", "2026-03-31T12:00:00Z"
Change = Callable[[World], object]


def import_three(world: World, context: Context) -> None:
    put(world, PRIOR)
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    put(world, NEWER, photo("a", title="of the other"))
    world.import_all(context, PRIOR, OLDER, NEWER)
    assert title(world) == "of the follower"
    assert sweep(world, context) == unplaced(world) == 0


CHANGES: dict[str, Change] = {
    "its prior moves to a later time": lambda world: put(world, PRIOR, completed_at=LATER),
    "it names no prior any more": lambda world: put(world, OLDER, photo("a", title="of the follower")),
    "it names itself": lambda world: put(world, OLDER, photo("a", title="of the follower"), prior=OLDER),
    "it names one of another time": lambda world: put(
        world, OLDER, photo("a", title="of the follower"), prior=put(world, sync_id_of("9"), completed_at=EARLIER)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_other_is_newer_from_then_on(world: World, change: str) -> None:
    context = world.context()
    import_three(world, context)
    CHANGES[change](world)
    world.scan(context)
    assert sweep(world, context) in (1, 2), "the prior is newer than the follower, too, where it has the same time"
    assert title(world) == "of the other"
    assert jobs(world, NEWER)[-1] == ("ingestd", "reimport", "done")
    assert len(jobs(world, OLDER)) == 1
    assert sweep(world, context) == unplaced(world) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_of_the_follower_does_not_hide_it(world: World, change: str) -> None:
    """It is imported again, with the lower generation, before any sweep has seen that."""
    context = world.context()
    import_three(world, context)
    CHANGES[change](world)
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the other"
    assert sweep(world, context) == unplaced(world) == 0


def test_a_prior_that_comes_back_makes_the_follower_newer_again(world: World) -> None:
    context = world.context()
    import_three(world, context)
    put(world, OLDER, photo("a", title="of the follower"))
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the other"
    put(world, OLDER, photo("a", title="of the follower"), prior=PRIOR)
    world.import_all(context, OLDER)
    sweep(world, context)
    assert title(world) == "of the follower"
    assert unplaced(world) == 0


def test_a_manifest_that_is_invalid_for_a_while_changes_the_order_for_that_time(world: World) -> None:
    context = world.context()
    for name, prior in {"4": None, "3": "4", "1": "3", "5": None, "2": "5"}.items():
        put(world, sync_id_of(name), photo("a", title=name), prior=prior and sync_id_of(prior))
        world.import_all(context, sync_id_of(name))
    sweep(world, context)
    assert title(world) == "1"
    manifest = world.root / f"sync/{sync_id_of('3')}.json"
    valid = manifest.read_bytes()
    for content, newest in ((b"{}", "2"), (valid, "1")):
        manifest.write_bytes(content)
        world.scan(context)
        sweep(world, context)
        assert title(world) == newest
        assert unplaced(world) == 0


def test_all_of_a_chain_may_become_older(world: World) -> None:
    """Of 3 ← 1 ← 0 and 7 ← 5, the last of the longer chain was newer than that of the shorter one."""
    context = world.context()
    chains = {"3": None, "1": "3", "0": "1", "7": None, "5": "7"}
    for name, prior in chains.items():
        put(world, sync_id_of(name), photo("a", title=name), prior=prior and sync_id_of(prior))
    world.import_all(context, *map(sync_id_of, chains))
    assert title(world) == "0"
    put(world, sync_id_of("3"), photo("b", files=0), completed_at=LATER)
    world.import_all(context, sync_id_of("3"))
    sweep(world, context)
    assert world.one("SELECT title FROM asset WHERE title IN (%s, '5', '1')", "0") == "5"
    assert unplaced(world) == 0


def test_what_is_locked_is_left_to_a_later_sweep(world: World) -> None:
    context, elsewhere = world.context(), world.context()
    import_three(world, context)
    put(world, PRIOR, completed_at=LATER)
    world.scan(context)

    def sweep_meanwhile(tx: Tx) -> None:
        batch.lock(tx, NEWER)
        assert Sweeper(elsewhere).place() == 0

    context.db.transaction(sweep_meanwhile)
    assert unplaced(world) == 1
    assert sweep(world, context) == 1
    assert title(world) == "of the other"
    assert unplaced(world) == 0

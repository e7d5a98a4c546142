"""The order of bundles holds for unusual input: limits of time, endless chains, one asset in all bundles."""

import random
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from ingestd.model import MAX_GENERATION
from ingestd.pipeline.sweeps import Sweeper
from support.order_model import Asset, Bundle, CoverItem, Listing, visible
from support.order_sets import NAMES, table
from support.order_world import Site, sync_id_of
from support.scale import scaled
from support.wait import until
from support.world import World, photo

OPEN: dict[str, Any] = {"queue": {"removal_limit": 10**9, "revive_interval": 0.000001}}
NOON = "2026-04-01T12:00:00Z"


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_times_at_the_limits_are_compared_exactly(world: World, order: Sequence[int]) -> None:
    """The greatest year is refused as a time ahead of the clock."""
    context = world.context()
    times = ("0001-01-01T00:00:00Z", "2026-04-01T12:00:00.000001Z", "2026-04-02T02:00:00.000002+14:00")
    for place in order:
        sync_id = world.put(photo("a", title=str(place)), completed_at=times[place], sync_id=sync_id_of(str(9 - place)))
        assert world.import_all(context, sync_id) == ["done"]
    assert world.one("SELECT title FROM asset") == "2"


def test_a_chain_without_end_is_ordered_by_sync_id_from_its_limit_on(world: World) -> None:
    """Each bundle follows the next, so that those with the smallest sync_ids follow the most."""
    context = world.context()
    length = MAX_GENERATION + 3
    names = [f"{number:04d}" for number in range(length)]
    for name, prior in zip(names, [*names[1:], None], strict=True):
        items = (photo("a", title=name),) if name in names[:4] else ()
        prior_sync_id = prior and sync_id_of(prior)
        world.put(*items, sync_id=sync_id_of(name), completed_at=NOON, prior_sync_id=prior_sync_id)
    world.scan(context)
    for name in reversed(names[:4]):
        world.import_all(context, sync_id_of(name))
    assert world.one("SELECT title FROM asset") == names[2]
    until(lambda: Sweeper(context).place() == world.one("SELECT COUNT(*) FROM ingest_batch WHERE is_placed = %s", 0))
    assert world.one("SELECT title FROM asset") == names[2]


@pytest.mark.soak
def test_bundles_that_all_touch_one_asset_are_imported_at_once(world: World) -> None:
    dice = random.Random(1)
    bundles = [_about_one_asset(dice, f"{number:x}") for number in range(scaled(60, 1000))]
    site = Site(world, [world.context(**OPEN, worker={"chunk_items": 2}) for _ in range(2)])
    site.import_at_once(bundles, workers=4)
    assert world.sql("SELECT DISTINCT decision FROM ingest_batch_item WHERE decision = %s", "failed") == []
    assert world.sql("SELECT DISTINCT state FROM import_job WHERE %s", 1) == [("done",)]
    assert site.seen(NAMES) == visible(bundles), table(bundles)


def _about_one_asset(dice: random.Random, sync_id: str) -> Bundle:
    return Bundle(
        sync_id,
        dice.randrange(20),
        dice.choice(["create", "update", "update", "remove"]),
        prior=dice.choice([None, f"{dice.randrange(1000):x}"]),
        assets=(Asset("a1", f"T{sync_id}", cover=dice.choice([None, "x", "y"])),),
        covers=(CoverItem(dice.choice("xyz"), "a1", dice.choice([None, "big"])),),
        listings=(Listing("gallery", "g", members=("a1",), complete=dice.random() < 0.5),),
    )

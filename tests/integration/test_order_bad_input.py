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


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_times_as_far_ahead_as_can_be_set_are_compared_exactly(world: World, order: Sequence[int]) -> None:
    context = world.context(mount={"max_future": 3_200_000_000})
    times = ("1000-01-01T00:00:00Z", "2099-12-31T23:59:59.999999Z", "2099-12-31T20:00:00-04:00")
    for place in order:
        sync_id = world.put(photo("a", title=str(place)), completed_at=times[place], sync_id=sync_id_of(str(9 - place)))
        assert world.import_all(context, sync_id) == ["done"]
    assert world.one("SELECT title FROM asset") == "2"


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+00:01"])
def test_a_time_beyond_the_limits_states_nothing_and_moves_nothing(world: World, time: str) -> None:
    context = world.context(mount={"max_future": 3_200_000_000})
    prior = world.put(photo("a", title="beyond"), completed_at=time, sync_id=sync_id_of("1"))
    follower = world.put(photo("a", title="within"), completed_at=NOON, sync_id=sync_id_of("2"), prior_sync_id=prior)
    assert world.import_all(context, follower) == ["done"]
    assert (world.status(prior), world.status(follower)) == ("invalid", "imported")
    assert Sweeper(context).place() == world.one("SELECT COUNT(*) FROM ingest_batch WHERE is_placed = %s", 0) == 0


SAME_TIMES = (
    "2026-04-01T23:59:60Z",
    "2026-04-02T00:00:00.000000000Z",
    "2026-04-02t05:30:00+05:30",
    "2026-04-01T18:59:60-05:00",
)


@pytest.mark.parametrize("order", [*permutations(range(len(SAME_TIMES)))][::5])
def test_one_moment_in_other_words_is_one_time(world: World, order: Sequence[int]) -> None:
    """A leap second is the next one; at one time the greatest sync_id is newest, unless a bundle follows it."""
    context = world.context()
    for place in order:
        sync_id = world.put(
            photo("a", title=str(place)), completed_at=SAME_TIMES[place], sync_id=sync_id_of(str(place))
        )
        assert world.import_all(context, sync_id) == ["done"]
    assert world.one("SELECT COUNT(DISTINCT manifest_completed_at) FROM ingest_batch") == 1
    assert world.one("SELECT title FROM asset") == "3"
    world.put(
        photo("a", title="follows"), completed_at=SAME_TIMES[0], sync_id=sync_id_of("0"), prior_sync_id=sync_id_of("3")
    )
    world.import_all(context, sync_id_of("0"))
    assert world.one("SELECT title FROM asset") == "follows"


@pytest.mark.parametrize("prior", [sync_id_of("AB"), f"{{{sync_id_of('ab')}}}", f" {sync_id_of('ab')}", "", 7, []])
def test_a_prior_in_other_words_makes_a_bundle_invalid(world: World, prior: Any) -> None:
    """It would follow none, as if it had named none, and so would be imported in another order than was meant."""
    context = world.context()
    sync_id = world.put(photo("a"), completed_at=NOON, sync_id=sync_id_of("1"), prior_sync_id=prior)
    world.put(photo("a"), completed_at=NOON, sync_id=sync_id_of("ab"))
    world.scan(context)
    assert (world.status(sync_id), world.status(sync_id_of("ab"))) == ("invalid", "new")
    assert "prior_sync_id" in world.one("SELECT last_error FROM ingest_batch WHERE sync_id = %s", sync_id)
    assert Sweeper(context).place() == 0


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
    count = scaled(60, 1000)
    bundles = [_about_one_asset(dice, number, count // 12) for number in range(count)]
    site = Site(world, [world.context(**OPEN, worker={"chunk_items": 2}) for _ in range(2)])
    site.import_at_once(bundles, workers=4)
    assert world.sql("SELECT DISTINCT decision FROM ingest_batch_item WHERE decision = %s", "failed") == []
    assert world.sql("SELECT DISTINCT state FROM import_job WHERE %s", 1) == [("done",)]
    assert site.seen(NAMES) == visible(bundles), table(bundles)


def _about_one_asset(dice: random.Random, number: int, times: int) -> Bundle:
    """One of twelve bundles of a time. Half of them follow one of these, also in circles, and some themselves.

    Names of one length are in the order of their sync_ids.
    """
    at, name = number % times, f"{number:03x}"
    return Bundle(
        name,
        at,
        dice.choice(["create", "update", "update", "remove"]),
        prior=dice.choice([None, f"{dice.randrange(12) * times + at:03x}"]),
        assets=(Asset("a1", f"T{name}", cover=dice.choice([None, "x", "y"])),),
        covers=(CoverItem(dice.choice("xyz"), "a1", dice.choice([None, "big"])),),
        listings=(Listing("gallery", "g", members=("a1",), complete=dice.random() < 0.5),),
    )

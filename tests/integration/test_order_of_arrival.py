"""Whatever the order in which bundles arrive and are imported, readers see what the model says.

A set that fails shrinks, and is printed as a table in order of arrival.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from support.groups import noted
from support.order_model import Asset, Bundle, CoverItem, Listing, visible
from support.order_sets import NAMES, in_arrival, sets_of_bundles, table
from support.order_world import Interruption, Site, interruptions
from support.scale import scaled
from support.steps import in_steps
from support.world import World

pytestmark = pytest.mark.timeout(scaled(600, 7200))
"""a busy machine needs several times as long as an idle one"""
OPEN: dict[str, Any] = {"queue": {"removal_limit": 10**9, "revive_interval": 0.000001}}
AUTOMATIC: dict[str, Any] = {"queue": {**OPEN["queue"], "auto": ["create", "update", "remove"]}}


def many(normal: int, soak: int) -> settings:
    return settings(max_examples=scaled(normal, soak), deadline=None, suppress_health_check=list(HealthCheck))


shuffles = st.lists(st.randoms(use_true_random=False), min_size=scaled(1, 3), max_size=scaled(2, 3))


def orders(found: Sequence[Bundle], shuffled: Sequence[Any]) -> Iterator[Sequence[Bundle]]:
    """A set in the order in which it was found, and in some random ones: four in all in `make soak`."""
    yield found
    for shuffle in shuffled:
        yield in_arrival(shuffle.sample(found, len(found)))


def check(site: Site, arrival: Sequence[Bundle]) -> None:
    assert site.seen(NAMES) == visible(arrival), table(arrival)


def arrive(site: Site, arrival: Sequence[Bundle], happenings: Sequence[Interruption] = (), *, also_small: bool) -> None:
    """Imports bundles, the small ones step by step or in one transaction, and checks what readers see."""
    site.begin_again()
    with in_steps(also_small=also_small):
        site.import_each(arrival, happenings)
    check(site, arrival)


# the cases that this began with


V1, V3, V4, V5 = (Bundle(str(at), at) for at in (1, 3, 4, 5))
REMOVE_4 = Bundle("44", 4, "remove")
CASES = {
    "an older entry is the last to name a cover": [
        replace(V4, assets=(Asset("a1"),)),
        replace(V1, assets=(Asset("a1", cover="y"),)),
    ],
    "a newer list has no title": [
        replace(V5, listings=(Listing("gallery", "g"),)),
        replace(V4, listings=(Listing("gallery", "g", "G2"),)),
    ],
    "a list waits for members while its gallery is removed": [
        replace(V3, listings=(Listing("collection", "g"),)),
        replace(V4, sync_id="45", listings=(Listing("collection", "g", members=("a1",)),)),
        replace(REMOVE_4, listings=(Listing("collection", "g"),)),
    ],
    "a cover is removed before its asset came": [
        Bundle("5", 5, "remove", covers=(CoverItem("x", "a1"),)),
        replace(V4, covers=(CoverItem("x", "a1"),)),
        replace(V3, assets=(Asset("a1"),)),
    ],
    "a cover is removed that was not the linked one then": [
        replace(V4, covers=(CoverItem("x", "a1"),), assets=(Asset("a1"),)),
        Bundle("5", 5, "remove", covers=(CoverItem("y", "a1"),)),
        Bundle("45", 4, covers=(CoverItem("y", "a1"),)),
    ],
    "another cover was linked when a cover is removed": [
        replace(V1, assets=(Asset("a1", cover="x"),)),
        replace(V3, covers=(CoverItem("y", "a1"),)),
        Bundle("5", 5, "remove", covers=(CoverItem("x", "a1"),)),
    ],
    "the file of a cover came twice before it was linked again": [
        replace(V1, assets=(Asset("a1"),), covers=(CoverItem("x", "a1", "big"),)),
        replace(V3, covers=(CoverItem("x", "a1", "large"),)),
        replace(V4, assets=(Asset("a1", cover="x"),)),
    ],
    "a cover that was replaced is removed, and was linked again before": [
        replace(V1, assets=(Asset("a1"),), covers=(CoverItem("x", "a1", "big"),)),
        replace(V3, covers=(CoverItem("y", "a1"),)),
        replace(V4, covers=(CoverItem("x", "a1"),)),
        Bundle("5", 5, "remove", covers=(CoverItem("x", "a1"),)),
    ],
    "three bundles of one time give a title": [
        Bundle(name, 3, listings=(Listing("gallery", "g", f"G{name}"),)) for name in ("1", "2", "3")
    ],
    "a prior of another time does not count": [
        Bundle("1", 3, prior="3", assets=(Asset("a1", "T1"),)),
        Bundle("2", 3, assets=(Asset("a1", "T2"),)),
        Bundle("3", 1),
    ],
    "a cover is removed twice, and linked between": [
        replace(V1, assets=(Asset("a1"),)),
        Bundle("5", 5, "remove", covers=(CoverItem("x", "a1"),)),
        Bundle("3", 3, "remove", covers=(CoverItem("x", "a1"),)),
        replace(V4, covers=(CoverItem("x", "a1"),)),
    ],
    "two covers of an asset are removed at once": [
        replace(V1, covers=(CoverItem("y", "a1"),)),
        replace(V3, assets=(Asset("a1", cover="x"),)),
        Bundle("5", 5, "remove", covers=(CoverItem("x", "a1"), CoverItem("y", "a1"))),
    ],
    "a complete list says nothing new, and a list between names its former member": [
        replace(V1, assets=(Asset("a1"),), listings=(Listing("gallery", "g", members=("a1",)),)),
        replace(V3, listings=(Listing("gallery", "g", complete=True),)),
        replace(V5, listings=(Listing("gallery", "g", complete=True),)),
        replace(V4, listings=(Listing("gallery", "g", members=("a1",)),)),
    ],
    "a list that is not complete leaves out a member": [
        replace(V1, assets=(Asset("a1"), Asset("a2")), listings=(Listing("gallery", "g", members=("a1",)),)),
        replace(V3, listings=(Listing("gallery", "g", members=("a2",)),)),
    ],
    "a newer list repeats a member that a complete list between leaves out": [
        replace(V1, assets=(Asset("a1"),), listings=(Listing("gallery", "g", members=("a1",)),)),
        replace(V4, listings=(Listing("gallery", "g", members=("a1",)),)),
        replace(V3, listings=(Listing("gallery", "g", complete=True),)),
    ],
    "the file of a cover came with an older bundle": [
        replace(V3, assets=(Asset("a1", cover="x"),)),
        replace(V1, assets=(Asset("a1"),), covers=(CoverItem("x", "a1", "big"),)),
    ],
    "a bundle delivers another cover item first when it is delivered again": [
        replace(V1, assets=(Asset("a1"),)),
        replace(V3, covers=(CoverItem("x", "a1"), CoverItem("y", "a1"))),
        replace(V3, covers=(CoverItem("y", "a1"), CoverItem("x", "a1")), delivery=1),
    ],
    "a cover item that waits for its asset is not listed any more when its bundle is delivered again": [
        replace(V3, covers=(CoverItem("x", "a1"),)),
        replace(V3, assets=(Asset("a2"),), delivery=1),
        replace(V1, assets=(Asset("a1"),)),
    ],
    "a bundle is delivered again with a later time, another one between": [
        replace(V1, assets=(Asset("a1", "T1"),)),
        replace(V3, assets=(Asset("a1", "T3"),)),
        replace(V1, at=4, assets=(Asset("a1", "T1"),), delivery=1),
    ],
    "an entry names a cover whose item fails": [
        replace(V1, assets=(Asset("a1", cover="x"),), covers=(CoverItem("x", "a1", "big", fails=True),)),
    ],
    "an entry that names a cover fails": [
        replace(V1, assets=(Asset("a1"),)),
        replace(V3, assets=(Asset("a1", cover="y", fails=True),), covers=(CoverItem("x", "a1", "big"),)),
    ],
    "the last cover item fails": [
        replace(V1, assets=(Asset("a1", cover="z"),)),
        replace(V3, covers=(CoverItem("x", "a1"), CoverItem("y", "a1"), CoverItem("z", "a1", fails=True))),
    ],
    "a newer entry names the cover whose file an older bundle brings for a failed one": [
        Bundle("3", 2, assets=(Asset("a1", "T2", cover="y"),), covers=(CoverItem("x", "a1"),)),
        Bundle(
            "1",
            2,
            assets=(Asset("a1", cover="x", fails=True),),
            covers=(CoverItem("z", "a1"), CoverItem("y", "a1", "big")),
        ),
    ],
    "an entry that names the linked cover fails when its bundle is delivered again": [
        replace(V3, assets=(Asset("a1"),)),
        replace(V1, covers=(CoverItem("y", "a1"),)),
        replace(V1, assets=(Asset("a1", cover="y", fails=True),), covers=(CoverItem("z", "a1"),), delivery=1),
    ],
    "what a bundle follows arrives last": [
        Bundle("1", 3, prior="3", assets=(Asset("a1", "T1"),)),
        Bundle("2", 3, assets=(Asset("a1", "T2"),)),
        Bundle("3", 3),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_known_cases(world: World, case: str) -> None:
    site = Site(world, [world.context(**OPEN)])
    for number, order in enumerate(permutations(CASES[case])):
        arrive(site, in_arrival(order), also_small=number % 2 == 1)


# random sets


@pytest.mark.soak
@pytest.mark.parametrize("part", range(scaled(1, 4)))
def test_any_order_leaves_the_same_library(world: World, part: int) -> None:
    site = Site(world, [world.context(**OPEN)])

    @given(sets_of_bundles(), shuffles)
    @many(30, 2500)
    def run(found: list[Bundle], shuffled: list[Any]) -> None:
        for number, arrival in enumerate(orders(found, shuffled)):
            arrive(site, arrival, also_small=number % 2 == 1)

    run()


@pytest.mark.soak
def test_every_permutation_of_small_sets(world: World) -> None:
    site = Site(world, [world.context(**OPEN)])

    @given(sets_of_bundles(most=3))
    @many(10, 300)
    def run(found: list[Bundle]) -> None:
        for number, arrival in enumerate({tuple(in_arrival(order)): None for order in permutations(found)}):
            arrive(site, arrival, also_small=number % 2 == 1)

    run()


@pytest.mark.soak
@pytest.mark.parametrize(("workers", "chunk_items"), [(1, 1), (2, 500), (4, 2)])
def test_all_at_once(world: World, workers: int, chunk_items: int) -> None:
    site = Site(world, [world.context(**OPEN, worker={"chunk_items": chunk_items}) for _ in range(2)])

    @given(sets_of_bundles(), shuffles)
    @many(10, 500)
    def run(found: list[Bundle], shuffled: list[Any]) -> None:
        for number, arrival in enumerate(orders(found, shuffled)):
            site.begin_again()
            with in_steps(also_small=number % 2 == 1):
                site.import_at_once(arrival, workers)
            check(site, arrival)

    run()


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
def test_in_groups(world: World, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Some bundles may be imported together with others, unless these or older ones name the same assets."""
    claimed = list[int]()
    groups, context = noted(monkeypatch, claimed), world.context(**AUTOMATIC, worker={"threads": workers})
    site = Site(world, [context])

    @given(sets_of_bundles(), shuffles)
    @many(8, 1000)
    def run(found: list[Bundle], shuffled: list[Any]) -> None:
        # All deliveries of a bundle, so that those with the same content keep it.
        plain = [of_assets(bundle) if int(bundle.sync_id, 16) % 2 else bundle for bundle in found]
        for arrival in orders([*NEW, *plain], shuffled):
            site.begin_again()
            site.import_in_groups(arrival, workers)
            assert site.seen((*NAMES, *OWN)) == visible(arrival), table(arrival)

    run()
    assert any(groups)
    assert any(ended > taken for ended, taken in zip(groups, claimed, strict=True)), "some waited, and followed"


OWN = ("n1", "n2", "n3", "n4", "n5")
NEW = [
    Bundle(
        f"1{number}",
        number // 2,
        prior=f"1{number - 1}" if number > 2 else None,
        assets=(Asset(name, "T1", frozenset({"original"})),),
    )
    for number, name in enumerate(OWN)
]
"""the last three make a chain"""


def of_assets(bundle: Bundle) -> Bundle:
    """A bundle that names neither covers nor lists."""
    assets = tuple(replace(asset, cover=None) for asset in bundle.assets)
    return replace(bundle, assets=assets, covers=(), listings=())


@pytest.mark.soak
def test_crashes_and_repeats_change_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(world, [world.context(**AUTOMATIC, worker={"chunk_items": size}) for size in (1, 2, 500)])
    site.interrupt(monkeypatch)

    @given(sets_of_bundles(), st.lists(interruptions, max_size=4), st.booleans())
    @many(25, 1500)
    def run(arrival: list[Bundle], happenings: list[Interruption], also_small: bool) -> None:
        arrive(site, arrival, happenings, also_small=also_small)

    run()

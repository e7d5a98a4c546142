"""Random sets of bundles for tests of the order of arrival, and a table of one for people to read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import hypothesis.strategies as st

from support.order_model import Asset, Bundle, CoverItem, Listing

T = TypeVar("T")
ASSETS = ("a1", "a2", "a3")
COVERS = ("x", "y", "z")
FILES = ("original", "small")
DOCUMENTS = ("meaning", "notes")
CONTAINERS = (("gallery", "g"), ("gallery", "h"), ("collection", "g"))
SYNC_IDS = tuple("123456789abcdef")
NAMES = (*ASSETS, *COVERS, "g", "h")
"""everything that a hash is made from"""

_some = st.frozensets
fails = st.sampled_from([False] * 7 + [True])


class Theme(NamedTuple):
    """What the bundles of a set speak about, and how much at most. The fewer things, the more statements about each.

    `listings` is the least and the most.
    """

    assets: tuple[str, ...] = ASSETS
    entries: int = 2
    covers: int = 2
    listings: tuple[int, int] = (0, 2)
    containers: tuple[tuple[str, str], ...] = CONTAINERS


THEMES = (
    Theme(),
    Theme(assets=ASSETS[:1], entries=1, listings=(0, 0)),
    Theme(assets=ASSETS[:2], covers=0, listings=(1, 1), containers=CONTAINERS[:1]),
)
"""all of it, the covers of one asset, the members of one gallery"""


def assets(theme: Theme) -> st.SearchStrategy[Asset]:
    return st.builds(
        Asset,
        st.sampled_from(theme.assets),
        st.sampled_from([None, "T1", "T2"]),
        _some(st.sampled_from(FILES)),
        _some(st.sampled_from(DOCUMENTS), max_size=1),
        st.sampled_from([None, None, *COVERS]) if theme.covers else st.none(),
        fails,
    )


def covers(theme: Theme) -> st.SearchStrategy[CoverItem]:
    files = st.sampled_from([None, "big", "large"])
    return st.builds(CoverItem, st.sampled_from(COVERS), st.sampled_from(theme.assets), files, fails)


def listings(theme: Theme) -> st.SearchStrategy[Listing]:
    members = st.lists(st.sampled_from(theme.assets), unique=True, max_size=3).map(tuple)
    title = st.sampled_from([None, "G1", "G2"])
    return st.builds(
        lambda key, title, listed, complete: Listing(key[0], key[1], title, listed, complete),
        st.sampled_from(theme.containers), title, members, st.booleans(),
    )  # fmt: skip


@st.composite
def bundles(draw: st.DrawFn, sync_id: str, theme: Theme) -> Bundle:
    """One bundle. Few times, so that many are equal."""

    def some(of: st.SearchStrategy[T], identity: Callable[[T], object], most: int, least: int = 0) -> tuple[T, ...]:
        return tuple(draw(st.lists(of, min_size=least, max_size=most, unique_by=identity))) if most else ()

    least, most = theme.listings

    return Bundle(
        sync_id,
        at=draw(st.integers(1, 3)),
        action=draw(st.sampled_from(["create", "update", "update", "remove"])),
        prior=draw(st.sampled_from([None, None, *SYNC_IDS[:6]])),
        assets=some(assets(theme), lambda asset: asset.hash, theme.entries),
        covers=some(covers(theme), lambda item: (item.hash, item.asset), theme.covers),
        listings=some(listings(theme), lambda listing: (listing.kind, listing.hash), most, least),
    )


@st.composite
def sets_of_bundles(draw: st.DrawFn, most: int = 6) -> list[Bundle]:
    """Up to so many bundles, in an order of arrival; some are delivered again.

    In one half of the sets with other content. These follow no other, and none follows them: what their former
    manifests stated could not be imported again when the order changes. In the other half with another time and prior.
    """
    keeps_content = draw(st.booleans())
    theme = draw(st.sampled_from(THEMES))
    sync_ids = draw(st.lists(st.sampled_from(SYNC_IDS[:6]), min_size=1, max_size=most))
    repeated = {sync_id for sync_id in sync_ids if sync_ids.count(sync_id) > 1}
    deliveries: dict[str, list[Bundle]] = {sync_id: [] for sync_id in sync_ids}
    arrival = []
    for sync_id in sync_ids:
        before = deliveries[sync_id]
        bundle = replace(draw(bundles(sync_id, theme)), delivery=len(before))
        if keeps_content and before:
            bundle = replace(before[0], at=bundle.at, prior=bundle.prior, delivery=bundle.delivery)
        elif not keeps_content and {sync_id, bundle.prior} & repeated:
            bundle = replace(bundle, prior=None)
        before.append(bundle)
        arrival.append(bundle)
    return arrival


def in_arrival(shuffled: Sequence[Bundle]) -> list[Bundle]:
    """The same order of arrival, but manifests of one bundle as they were delivered."""
    waiting: dict[str, list[Bundle]] = {}
    for bundle in sorted(shuffled, key=lambda bundle: bundle.delivery):
        waiting.setdefault(bundle.sync_id, []).append(bundle)
    return [waiting[bundle.sync_id].pop(0) for bundle in shuffled]


def table(arrival: Sequence[Bundle]) -> str:
    """A set in order of arrival, a line for each thing that a bundle says."""
    return "\n".join(line for bundle in arrival for line in _lines(bundle))


FAILS = {False: "", True: ", fails"}


def _lines(bundle: Bundle) -> Iterable[str]:
    prior = f" after {bundle.prior}" if bundle.prior else ""
    yield f"{bundle.action} {bundle.sync_id} at {bundle.at}{prior}"
    for asset in bundle.assets:
        cover = f" cover {asset.cover}" if asset.cover else ""
        content = f"files {sorted(asset.files)} documents {sorted(asset.documents)}{cover}"
        yield f"  {asset.hash} {asset.title!r} {content}{FAILS[asset.fails]}"
    for item in bundle.covers:
        yield f"  cover {item.hash} of {item.asset}, file {item.file}{FAILS[item.fails]}"
    for listing in bundle.listings:
        kind = "complete" if listing.complete else "delta"
        yield f"  {listing.kind} {listing.hash} {listing.title!r} {kind} {' '.join(listing.members)}"

"""Random sets of bundles for tests of the order of arrival, and a table of one for people to read."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import hypothesis.strategies as st

from support.order_model import Asset, Bundle, CoverItem, Listing

ASSETS = ("a1", "a2", "a3")
COVERS = ("x", "y")
FILES = ("original", "small")
DOCUMENTS = ("meaning", "notes")
CONTAINERS = (("gallery", "g"), ("gallery", "h"), ("collection", "g"))
SYNC_IDS = tuple("123456789abcdef")
NAMES = (*ASSETS, *COVERS, "g", "h")
"""everything that a hash is made from"""

_some = st.frozensets
assets = st.builds(
    Asset,
    st.sampled_from(ASSETS),
    st.sampled_from([None, "T1", "T2"]),
    _some(st.sampled_from(FILES)),
    _some(st.sampled_from(DOCUMENTS), max_size=1),
    st.sampled_from([None, None, *COVERS]),
)
covers = st.builds(CoverItem, st.sampled_from(COVERS), st.sampled_from(ASSETS), st.sampled_from([None, "big", "large"]))
members = st.lists(st.sampled_from(ASSETS), unique=True, max_size=3).map(tuple)
listings = st.builds(
    lambda key, title, listed, complete: Listing(key[0], key[1], title, listed, complete),
    st.sampled_from(CONTAINERS),
    st.sampled_from([None, "G1", "G2"]),
    members,
    st.booleans(),
)


@st.composite
def bundles(draw: st.DrawFn, sync_id: str) -> Bundle:
    """One bundle. Few times, so that many are equal."""
    return Bundle(
        sync_id,
        at=draw(st.integers(1, 3)),
        action=draw(st.sampled_from(["create", "update", "update", "remove"])),
        prior=draw(st.sampled_from([None, None, *SYNC_IDS[:6]])),
        assets=tuple(draw(st.lists(assets, max_size=2, unique_by=lambda asset: asset.hash))),
        covers=tuple(draw(st.lists(covers, max_size=2, unique_by=lambda item: (item.hash, item.asset)))),
        listings=tuple(draw(st.lists(listings, max_size=2, unique_by=lambda listing: (listing.kind, listing.hash)))),
    )


@st.composite
def sets_of_bundles(draw: st.DrawFn, most: int = 5) -> list[Bundle]:
    """Up to so many bundles, in an order of arrival; some are delivered again with other content.

    These follow no other: what their former manifests stated could not be imported again if that arrived late.
    """
    found: dict[str, Bundle] = {}
    arrival = []
    sync_ids = draw(st.lists(st.sampled_from(SYNC_IDS[:6]), min_size=1, max_size=most))
    for sync_id in sync_ids:
        bundle, earlier = draw(bundles(sync_id)), found.get(sync_id)
        if sync_ids.count(sync_id) > 1:
            bundle = replace(bundle, prior=None)
        if earlier is not None:
            bundle = replace(bundle, at=earlier.at, delivery=earlier.delivery + 1)
        found[sync_id] = bundle
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


def _lines(bundle: Bundle) -> Iterable[str]:
    prior = f" after {bundle.prior}" if bundle.prior else ""
    yield f"{bundle.action} {bundle.sync_id} at {bundle.at}{prior}"
    for asset in bundle.assets:
        cover = f" cover {asset.cover}" if asset.cover else ""
        yield f"  {asset.hash} {asset.title!r} files {sorted(asset.files)} documents {sorted(asset.documents)}{cover}"
    for item in bundle.covers:
        yield f"  cover {item.hash} of {item.asset}, file {item.file}"
    for listing in bundle.listings:
        kind = "complete" if listing.complete else "delta"
        yield f"  {listing.kind} {listing.hash} {listing.title!r} {kind} {' '.join(listing.members)}"

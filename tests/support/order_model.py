"""What readers see of the library, from bundles alone: each is applied after the other, in order of version. Pure.

A model to read: no SQL, no versions in rows, nothing kept for later. `visible` takes bundles in any order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

MAX_ANCESTORS = 1000


@dataclass(frozen=True)
class Asset:
    """The entry of an asset. `cover` None says nothing about the cover. `fails`: one of its files is missing."""

    hash: str
    title: str | None = None
    files: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    cover: str | None = None
    fails: bool = False


@dataclass(frozen=True)
class CoverItem:
    """A cover with its file, for one asset. `fails`: another file of it is missing."""

    hash: str
    asset: str
    file: str | None = None
    fails: bool = False


@dataclass(frozen=True)
class Listing:
    """A container with its members, in order. `title` None says nothing about the title."""

    kind: str
    hash: str
    title: str | None = None
    members: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True)
class Bundle:
    """One manifest. `at` is its `completed_at`; `delivery` counts the manifests of one sync_id, as imported."""

    sync_id: str
    at: int
    action: str = "update"
    prior: str | None = None
    assets: tuple[Asset, ...] = ()
    covers: tuple[CoverItem, ...] = ()
    listings: tuple[Listing, ...] = ()
    delivery: int = 0


@dataclass
class Library:
    """What all bundles together have said. A value of None: removed, or unlinked."""

    assets: dict[str, Asset | None] = field(default_factory=dict)
    covers: dict[str, str | None] = field(default_factory=dict)
    cover_files: dict[tuple[str, str], str | None] = field(default_factory=dict)
    is_live: dict[tuple[str, str], bool] = field(default_factory=dict)
    titles: dict[tuple[str, str], str] = field(default_factory=dict)
    members: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)


def visible(bundles: Sequence[Bundle]) -> dict[str, object]:
    """Live assets by hash: (title, files, documents, cover with its file); live containers: (title, live members)."""
    library = Library()
    for bundle in in_order(bundles):
        _remove(library, bundle) if bundle.action == "remove" else _apply(library, _without_failed(bundle))
    return {**_assets(library), **_containers(library)}


# the order of versions


def in_order(bundles: Sequence[Bundle]) -> list[Bundle]:
    """By time; at equal times by the number of ancestors of that time, then by sync_id; deliveries as they came."""
    timed = [replace(bundle, at=_latest(bundles, bundle)) for bundle in bundles]
    present = {bundle.sync_id: bundle for bundle in sorted(timed, key=lambda b: b.delivery)}
    return sorted(timed, key=lambda b: (b.at, ancestors(present, b.sync_id), b.sync_id, b.delivery))


def _latest(bundles: Iterable[Bundle], bundle: Bundle) -> int:
    """A manifest that is delivered again is never older than the one before it."""
    return max(b.at for b in bundles if b.sync_id == bundle.sync_id and b.delivery <= bundle.delivery)


def ancestors(bundles: Mapping[str, Bundle], sync_id: str) -> int:
    """How many known bundles of the same time precede one along `prior`; the maximum, if they lead in a circle.

    A bundle that names itself names none.
    """
    count, bundle = 0, bundles[sync_id]
    while count < MAX_ANCESTORS:
        prior = bundles.get(bundle.prior or "")
        if prior is None or prior is bundle or prior.at != bundle.at:
            break
        count, bundle = count + 1, prior
    return count


# what a bundle says


def _without_failed(bundle: Bundle) -> Bundle:
    """Items that fail say nothing. A removal needs no files."""
    assets = tuple(asset for asset in bundle.assets if not asset.fails)
    return replace(bundle, assets=assets, covers=tuple(item for item in bundle.covers if not item.fails))


def _apply(library: Library, bundle: Bundle) -> None:
    for asset in bundle.assets:
        library.assets[asset.hash] = asset
    named = {asset.hash: asset.cover for asset in bundle.assets if asset.cover is not None}
    library.covers |= {item.asset: item.hash for item in bundle.covers} | named
    for item in bundle.covers:
        if library.covers[item.asset] == item.hash:
            library.cover_files[item.asset, item.hash] = item.file
    for listing in bundle.listings:
        _list(library, (listing.kind, listing.hash), listing)


def _list(library: Library, key: tuple[str, str], listing: Listing) -> None:
    library.is_live[key] = True
    if listing.title is not None:
        library.titles[key] = listing.title
    positions = {member: position for position, member in enumerate(listing.members)}
    library.members[key] = positions if listing.complete else {**library.members.get(key, {}), **positions}


def _remove(library: Library, bundle: Bundle) -> None:
    for item in bundle.covers:
        if library.covers.get(item.asset) == item.hash:
            library.covers[item.asset] = None
    for asset in bundle.assets:
        library.assets[asset.hash] = None
    for listing in bundle.listings:
        library.is_live[listing.kind, listing.hash] = False


# what readers see


def _assets(library: Library) -> dict[str, object]:
    return {
        hash_: (asset.title, sorted(asset.files), sorted(asset.documents), _cover(library, hash_))
        for hash_, asset in library.assets.items()
        if asset is not None
    }


def _cover(library: Library, asset: str) -> tuple[str, str | None] | None:
    cover = library.covers.get(asset)
    return None if cover is None else (cover, library.cover_files.get((asset, cover)))


def _containers(library: Library) -> dict[str, object]:
    return {
        f"{kind} {hash_}": (library.titles.get((kind, hash_)), _members(library, (kind, hash_)))
        for (kind, hash_), live in library.is_live.items()
        if live
    }


def _members(library: Library, key: tuple[str, str]) -> list[str]:
    """The live members, by position; those of one position in order of hash."""
    positions = library.members.get(key, {})
    live = [member for member in positions if library.assets.get(member) is not None]
    return sorted(live, key=lambda member: (positions[member], member))

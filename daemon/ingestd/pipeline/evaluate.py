"""Applies the rules of decision to manifest entries: without locks for a forecast, under lock for the import."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from ingestd import decide
from ingestd.format.entry import Entry
from ingestd.format.manifest_index import ManifestIndex
from ingestd.model import Action, Decision, Reason, StoredAsset, StoredCover, Verdict, Version
from ingestd.store import library
from ingestd.store.db import Tx


@dataclass(frozen=True, slots=True)
class Bundle:
    """What all entries of one bundle share."""

    action: Action
    version: Version
    index: ManifestIndex


@dataclass(slots=True)
class LibraryState:
    """The stored rows that some entries concern: assets by hash, covers by asset id."""

    assets: dict[str, StoredAsset] = field(default_factory=dict)
    covers: dict[int, StoredCover] = field(default_factory=dict)

    def is_live(self, hash_: str | None) -> bool:
        """Whether readers see an asset."""
        stored = self.assets.get(hash_ or "")
        return stored is not None and not stored.deleted


def hashes_of(entries: Iterable[Entry]) -> set[str]:
    """The hashes of the assets that some entries concern: their own, or their parents'."""
    return {(entry.parent_hash or "") if entry.is_cover else entry.asset_hash for entry in entries if not entry.problem}


def load_state(tx: Tx, bundle: Bundle, entries: Iterable[Entry], *, lock: bool = False) -> LibraryState:
    """Loads what some entries concern; with `lock`, their assets stay locked until the transaction ends."""
    entries = list(entries)
    assets = library.assets(tx, hashes_of(entries), bundle.version, lock=lock)
    named = [e.parent_hash if e.is_cover else e.asset_hash for e in entries if e.is_cover or e.cover_hash]
    ids = [assets[hash_].id for hash_ in named if hash_ in assets]
    return LibraryState(assets, library.covers(tx, ids, bundle.version))


def evaluate(
    entry: Entry,
    bundle: Bundle,
    state: LibraryState,
    documents_sha256: str | None = None,
    arriving: Container[str] = (),
) -> Verdict:
    """The decision about one entry. `arriving`: hashes of assets that this bundle delivers itself."""
    if entry.problem is not None:
        return Verdict(Decision.FAILED, entry.reason, entry.problem)
    if (failure := bundle.index.problem(entry)) is not None:
        return Verdict(Decision.FAILED, *failure)
    if entry.is_cover:
        return _evaluate_cover(entry, bundle, state, arriving)
    differs = own_cover(entry, bundle, state) is not None
    stored = state.assets.get(entry.asset_hash)
    return decide.decide_asset(
        bundle.action, entry.asset_type, entry.sha256, documents_sha256, bundle.version, stored, cover_differs=differs
    )


def _evaluate_cover(entry: Entry, bundle: Bundle, state: LibraryState, arriving: Container[str]) -> Verdict:
    assert entry.parent_hash is not None
    wins = bundle.index.covers.get(entry.parent_hash)
    if bundle.action is not Action.REMOVE and wins is not None and wins[0] != entry.asset_hash:
        return Verdict(Decision.SKIPPED, Reason.OUTRANKED)
    parent = state.assets.get(entry.parent_hash)
    if entry.parent_hash in arriving and (parent is None or parent.deleted) and bundle.action is not Action.REMOVE:
        return Verdict(Decision.LINKED)
    stored = state.covers.get(parent.id) if parent else None
    wanted = wanted_cover(entry, parent.id if parent else 0, bundle.version)
    return decide.decide_cover(bundle.action, wanted, entry.parent_hash, parent, stored)


def wanted_cover(entry: Entry, asset_id: int, version: Version) -> StoredCover:
    """The stored form of a cover item: its `original` file, or its first one."""
    file = next((file for file in entry.files if file.variant == "original"), entry.files[0] if entry.files else None)
    path = f"{entry.path}/{file.path}" if file else entry.path
    size, sha256 = (file.bytes, file.sha256) if file else (None, None)
    return StoredCover(asset_id, entry.asset_hash, path, False, version, size, sha256)


def dropped_files(tx: Tx, updates: Iterable[tuple[int, Entry]]) -> list[tuple[int, str]]:
    """The live files of updated assets, given by id, that their entries do not list: (asset id, variant), sorted."""
    updates = list(updates)
    listed = {(id_, file.variant) for id_, entry in updates for file in entry.files}
    return sorted(library.live_files(tx, [id_ for id_, _ in updates]) - listed)


def own_cover(entry: Entry, bundle: Bundle, state: LibraryState) -> str | None:
    """The cover that an asset's entry must link; None if a cover item links it, or if it is linked already."""
    if entry.cover_hash is None or bundle.action is Action.REMOVE:
        return None
    if bundle.index.covers.get(entry.asset_hash) != (entry.cover_hash, None):
        return None
    asset = state.assets.get(entry.asset_hash)
    stored = state.covers.get(asset.id) if asset else None
    if stored is None:
        return entry.cover_hash
    if decide.is_older(bundle.version, stored.version):
        return None
    return entry.cover_hash if stored.deleted or stored.cover_hash != entry.cover_hash else None

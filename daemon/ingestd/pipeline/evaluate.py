"""Applies the rules of decision to manifest entries: without locks for a forecast, under lock for the import."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from ingestd import covers, decide
from ingestd.format.entry import Entry
from ingestd.format.manifest_index import ManifestIndex
from ingestd.library_records import CoverFile, Covers, StoredAsset
from ingestd.model import Action, Decision, Reason, Verdict, Version
from ingestd.store import asset_covers, known_assets, library
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
    covers: dict[int, Covers] = field(default_factory=dict)

    def is_live(self, hash_: str | None) -> bool:
        """Whether readers see an asset."""
        stored = self.assets.get(hash_ or "")
        return stored is not None and not stored.deleted

    def covers_of(self, hash_: str | None) -> Covers:
        """What is known of the covers of an asset."""
        stored = self.assets.get(hash_ or "")
        return covers.NOTHING_KNOWN if stored is None else self.covers.get(stored.id, covers.NOTHING_KNOWN)


def hashes_of(entries: Iterable[Entry]) -> set[str]:
    """The hashes of the assets that some entries concern: their own, or their parents'."""
    return {(entry.parent_hash or "") if entry.is_cover else entry.asset_hash for entry in entries if not entry.problem}


def load_state(
    tx: Tx,
    bundle: Bundle,
    entries: Iterable[Entry],
    *,
    lock: bool = False,
    assets: dict[str, StoredAsset] | None = None,
) -> LibraryState:
    """Loads what some entries concern; with `lock`, their assets stay locked until the transaction ends.

    `assets`, if those were loaded already.
    """
    entries = list(entries)
    if assets is None:
        assets = known_assets.find(tx, hashes_of(entries), bundle.version, lock=lock)
    named = [e.parent_hash if e.is_cover else e.asset_hash for e in entries if e.is_cover or e.cover_hash]
    ids = [assets[hash_].id for hash_ in named if hash_ in assets]
    return LibraryState(assets, asset_covers.find(tx, ids, bundle.version))


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
    # Most entries name no cover, and say nothing about one.
    differs = entry.cover_hash is not None and _changes_cover(entry, bundle, state)
    stored = state.assets.get(entry.asset_hash)
    return decide.decide_asset(
        bundle.action, entry.asset_type, entry.sha256, documents_sha256, bundle.version, stored, cover_differs=differs
    )


def _changes_cover(entry: Entry, bundle: Bundle, state: LibraryState) -> bool:
    """Whether readers see another cover of an asset after its entry."""
    before = state.covers_of(entry.asset_hash)
    return covers_after(entry, bundle, before).visible != before.visible


def _evaluate_cover(entry: Entry, bundle: Bundle, state: LibraryState, arriving: Container[str]) -> Verdict:
    assert entry.parent_hash is not None
    if is_outranked(entry, bundle):
        return Verdict(Decision.SKIPPED, Reason.OUTRANKED)
    parent = state.assets.get(entry.parent_hash)
    if entry.parent_hash in arriving and (parent is None or parent.deleted) and bundle.action is not Action.REMOVE:
        return Verdict(Decision.LINKED)
    before = state.covers_of(entry.parent_hash)
    after = covers_after(entry, bundle, before)
    return decide.decide_cover(
        bundle.action, entry.asset_hash, bundle.version, entry.parent_hash, parent, before, after
    )


def is_outranked(entry: Entry, bundle: Bundle) -> bool:
    """Whether its bundle links another cover than this item to the same asset."""
    wins = bundle.index.covers.get(entry.parent_hash or "")
    return bundle.action is not Action.REMOVE and wins is not None and wins[0] != entry.asset_hash


def outranks_others(entry: Entry, bundle: Bundle) -> bool:
    """Whether another cover of its bundle would count in place of an item's, if that failed."""
    asset, cover = (entry.parent_hash, entry.asset_hash) if entry.is_cover else (entry.asset_hash, entry.cover_hash)
    is_contested = asset in bundle.index.contested and bundle.action is not Action.REMOVE
    return is_contested and cover == bundle.index.covers[asset or ""][0]


def covers_after(entry: Entry, bundle: Bundle, before: Covers) -> Covers:
    """What is known of the covers of an asset after its entry, or after a cover item that is not outranked."""
    if entry.is_cover and bundle.action is Action.REMOVE:
        return covers.unlink(before, entry.asset_hash, bundle.version)
    if entry.is_cover:
        return covers.link(before, entry.asset_hash, bundle.version, cover_file(entry))
    if names_cover(entry, bundle):
        assert entry.cover_hash is not None
        return covers.link(before, entry.cover_hash, bundle.version, None)
    return before


def names_cover(entry: Entry, bundle: Bundle) -> bool:
    """Whether an asset's entry links a cover that no cover item of its bundle links."""
    is_said = entry.cover_hash is not None and bundle.action is not Action.REMOVE
    return is_said and bundle.index.covers.get(entry.asset_hash) == (entry.cover_hash, None)


def cover_file(entry: Entry) -> CoverFile:
    """The file of a cover item: its `original`, or its first one."""
    file = next((file for file in entry.files if file.variant == "original"), entry.files[0] if entry.files else None)
    return CoverFile(entry.path) if file is None else CoverFile(f"{entry.path}/{file.path}", file.bytes, file.sha256)


def dropped_files(tx: Tx, updates: Iterable[tuple[int, Entry]]) -> list[tuple[int, str]]:
    """The live files of updated assets, given by id, that their entries do not list: (asset id, variant), sorted."""
    updates = list(updates)
    listed = {(id_, file.variant) for id_, entry in updates for file in entry.files}
    return sorted(library.live_files(tx, [id_ for id_, _ in updates]) - listed)

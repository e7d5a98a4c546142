"""What follows only from all entries of a manifest together: duplicates, conflicts, and which covers win. Pure."""

from collections.abc import Iterator

import msgspec

from ingestd.format.entry import Entry
from ingestd.model import Reason

MAX_BYTES = 2**63 - 1
TYPE_SHIFT, TYPE_MASK = 41, (1 << 39) - 1
MAX_TYPE_NAMES = 1000

Identity = tuple[str, str, str]


class ManifestIndex(msgspec.Struct, tag=True):
    """What follows from all entries of a manifest together.

    `item_count` and `types` count identities. The first entry of each stands for it; `repeated` are the ordinals of all
    others. Items that fail although each entry is valid, by the ordinal of their standing entry: `differing` are listed
    twice with different content, `conflicts` under another type, too, which is the value. `covers`: hash of an asset →
    (hash of the cover that wins, ordinal of its item or None). `contested`: the assets for which several covers are
    given. `arriving`: the assets of cover items that the bundle delivers itself.
    """

    item_count: int = 0
    types: dict[str, int] = {}
    repeated: set[int] = set()
    differing: set[int] = set()
    conflicts: dict[int, str] = {}
    covers: dict[str, tuple[str, int | None]] = {}
    contested: set[str] = set()
    arriving: set[str] = set()
    duplicates_collapsed: int = 0
    derivatives_ignored: int = 0
    total_bytes: int = 0

    @property
    def has_covers(self) -> bool:
        """Whether there are items that are covers."""
        return "cover" in self.types

    def fails(self, ordinal: int) -> bool:
        """Whether the item of a standing entry fails because of other entries."""
        return ordinal in self.conflicts or ordinal in self.differing

    def problem(self, entry: Entry) -> tuple[Reason, str] | None:
        """Why the item of a standing entry fails because of other entries; None if it does not."""
        if entry.ordinal in self.differing:
            text = f"{entry.asset_type} {entry.asset_hash} is listed twice with different content"
            return Reason.DUPLICATE_ITEM, text
        if entry.ordinal in self.conflicts:
            other = self.conflicts[entry.ordinal]
            return Reason.TYPE_CONFLICT, f"hash {entry.asset_hash} is listed as {other} and as {entry.asset_type}"
        return None


class IndexBuilder:
    """Builds an index entry by entry.

    What is kept of each entry meanwhile is small: its hash, and one number of its digest, type, ordinal, and whether it
    is valid. Covers need their whole identity as the key. `_mixed` are entries of hashes that have two types. Types and
    these identities are compared by their hash values, which are different in each process and cannot be forged.
    """

    def __init__(self) -> None:
        self.index = ManifestIndex()
        self._by_hash: dict[bytes, int] = {}
        self._covers: dict[Identity, int] = {}
        self._mixed: dict[int, int] = {}
        self._valid_types: dict[str, str] = {}
        self._type_names: dict[int, str] = {}
        self._own_covers: dict[str, tuple[str, int]] = {}

    def add(self, entry: Entry) -> None:
        index = self.index
        if not entry.has_identity:
            self.add_without_identity()
            return
        packed = self._packed(entry)
        known = self._remember(entry, packed)
        if known is not None:
            self._repeat(entry, known, packed)
            return
        self._count(entry.asset_type)
        index.total_bytes = min(MAX_BYTES, index.total_bytes + sum(file.bytes or 0 for file in entry.files))
        index.derivatives_ignored += entry.derivatives_ignored
        is_valid = entry.problem is None and not index.fails(entry.ordinal)
        if entry.cover_hash and is_valid and not entry.is_cover:
            self._own_covers[entry.asset_hash] = (entry.cover_hash, entry.ordinal)

    def add_without_identity(self) -> None:
        """Adds an entry that has nothing in common with any other."""
        self._count("invalid")

    def _count(self, asset_type: str) -> None:
        types = self.index.types
        types[asset_type] = types.get(asset_type, 0) + 1
        self.index.item_count += 1

    def _packed(self, entry: Entry) -> int:
        """The entry in one number: 64 bits of its digest, then its type, ordinal and validity."""
        type_number = hash(entry.asset_type) & TYPE_MASK
        if type_number not in self._type_names and len(self._type_names) < MAX_TYPE_NAMES:
            self._type_names[type_number] = entry.asset_type
        is_valid = entry.problem is None
        return int(entry.sha256[:16], 16) << 80 | type_number << TYPE_SHIFT | entry.ordinal << 1 | is_valid

    def _remember(self, entry: Entry, packed: int) -> int | None:
        """The number of the earlier entry with the same identity; remembers this one if there is none."""
        if entry.is_cover:
            known = self._covers.setdefault(entry.identity, packed)
            return known if known != packed else None
        first = self._by_hash.setdefault(bytes.fromhex(entry.asset_hash), packed)
        if first == packed:
            return None
        if _type_number(first) == _type_number(packed):
            return first
        known = self._mixed.setdefault(hash(entry.identity), packed)
        if known != packed:
            return known
        self._check_type(entry, first)
        return None

    def _check_type(self, entry: Entry, first: int) -> None:
        """A hash belongs to one type of asset; covers and entries that fail anyway do not count."""
        if entry.problem is not None:
            return
        if first & 1:
            other = self._type_names.get(_type_number(first), "another type")
        else:
            other = self._valid_types.setdefault(entry.asset_hash, entry.asset_type)
        if other != entry.asset_type:
            self.index.conflicts[entry.ordinal] = other

    def _repeat(self, entry: Entry, known: int, packed: int) -> None:
        """Counts an entry whose identity is known; if its content differs, the item fails."""
        self.index.repeated.add(entry.ordinal)
        if known >> 80 == packed >> 80:
            self.index.duplicates_collapsed += 1
        else:
            self.index.differing.add(_ordinal(known))

    def finish(self) -> ManifestIndex:
        """The index; what was kept meanwhile is forgotten.

        The last cover item of an asset wins, unless the asset's own entry names a cover.
        """
        fails = self.index.fails
        for (_, cover, asset), ordinal in self._cover_items():
            self._set_cover(asset, cover, ordinal)
            if bytes.fromhex(asset) in self._by_hash:
                self.index.arriving.add(asset)
        for asset, (cover, ordinal) in self._own_covers.items():
            if not fails(ordinal):
                item = self._covers.get(("cover", cover, asset), 0)
                is_valid = item & 1 and not fails(_ordinal(item))
                self._set_cover(asset, cover, _ordinal(item) if is_valid else None)
        self._by_hash, self._covers, self._mixed, self._own_covers = {}, {}, {}, {}
        return self.index

    def _set_cover(self, asset: str, cover: str, ordinal: int | None) -> None:
        if asset in self.index.covers and self.index.covers[asset][0] != cover:
            self.index.contested.add(asset)
        self.index.covers[asset] = (cover, ordinal)

    def _cover_items(self) -> Iterator[tuple[Identity, int]]:
        for identity, packed in self._covers.items():
            if packed & 1 and not self.index.fails(_ordinal(packed)):
                yield identity, _ordinal(packed)


def _type_number(packed: int) -> int:
    return packed >> TYPE_SHIFT & TYPE_MASK


def _ordinal(packed: int) -> int:
    return packed >> 1 & (1 << 40) - 1

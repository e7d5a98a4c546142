"""What follows only from all entries of a manifest together: duplicates, conflicts, and which covers win. Pure."""

from dataclasses import dataclass, field

from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Reason

MAX_BYTES = 2**63 - 1

Identity = tuple[str, str, str]


@dataclass(slots=True)
class ManifestIndex:
    """What follows from all entries of a manifest together.

    `first`: identity → ordinal of its first entry, which stands for it. `problems`: identity → why the item fails
    although each entry is valid. `covers`: hash of an asset → (hash of the cover that wins, ordinal of its item or
    None).
    """

    first: dict[Identity, int] = field(default_factory=dict)
    problems: dict[Identity, tuple[Reason, str]] = field(default_factory=dict)
    covers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    duplicates_collapsed: int = 0
    derivatives_ignored: int = 0
    total_bytes: int = 0


def index_manifest(manifest: Manifest) -> ManifestIndex:
    """Reads every entry once."""
    builder = _IndexBuilder()
    for entry in manifest.entries():
        builder.add(entry)
    builder.choose_covers()
    return builder.index


class _IndexBuilder:
    """Builds an index entry by entry; digests, types and cover entries are needed only meanwhile."""

    def __init__(self) -> None:
        self.index = ManifestIndex()
        self._digests: dict[Identity, str] = {}
        self._types: dict[str, str] = {}
        self._cover_entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        if self._is_duplicate(entry):
            return
        index = self.index
        index.total_bytes = min(MAX_BYTES, index.total_bytes + sum(file.bytes or 0 for file in entry.files))
        index.derivatives_ignored += entry.derivatives_ignored
        if entry.problem is None:
            self._check_type(entry)
            if entry.is_cover or entry.cover_hash:
                self._cover_entries.append(entry)

    def _is_duplicate(self, entry: Entry) -> bool:
        """Whether an earlier entry has the same identity; if its content differs, the item fails."""
        identity = entry.identity
        known = self._digests.get(identity)
        if known is None:
            self._digests[identity] = entry.sha256
            self.index.first[identity] = entry.ordinal
            return False
        if known == entry.sha256:
            self.index.duplicates_collapsed += 1
        else:
            problem = f"{entry.asset_type} {entry.asset_hash} is listed twice with different content"
            self.index.problems[identity] = (Reason.DUPLICATE_ITEM, problem)
        return True

    def _check_type(self, entry: Entry) -> None:
        """A hash belongs to one type of asset; covers do not count."""
        if entry.is_cover:
            return
        other = self._types.setdefault(entry.asset_hash, entry.asset_type)
        if other != entry.asset_type:
            problem = f"hash {entry.asset_hash} is listed as {other} and as {entry.asset_type}"
            self.index.problems[entry.identity] = (Reason.TYPE_CONFLICT, problem)

    def choose_covers(self) -> None:
        """The last cover item of an asset wins, unless the asset's own entry names a cover."""
        entries = [entry for entry in self._cover_entries if entry.identity not in self.index.problems]
        cover_items = {entry.identity: entry.ordinal for entry in entries if entry.is_cover}
        for (_, cover, asset), ordinal in cover_items.items():
            self.index.covers[asset] = (cover, ordinal)
        for entry in entries:
            if not entry.is_cover and entry.cover_hash:
                item = cover_items.get(("cover", entry.cover_hash, entry.asset_hash))
                self.index.covers[entry.asset_hash] = (entry.cover_hash, item)

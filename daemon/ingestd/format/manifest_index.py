"""What only a look at all entries of a manifest tells: who stands for whom, who is doomed, which cover wins. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.model import Reason

MAX_SUM = 2**63 - 1


@dataclass(slots=True)
class ManifestIndex:
    """What only a look at all entries of a manifest can tell.

    `first`: identity → ordinal of the entry that stands for it; `problems`: identity → why it can only fail;
    `covers`: parent hash → the (cover hash, ordinal of its cover item or None) that wins among those delivered.
    """

    first: dict[tuple[str, str, str], int] = field(default_factory=dict)
    problems: dict[tuple[str, str, str], tuple[Reason, str]] = field(default_factory=dict)
    covers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    collapsed: int = 0
    derivatives_ignored: int = 0
    total_bytes: int = 0


def index_manifest(manifest: Manifest, visit: Callable[[Entry], object] = lambda _entry: None) -> ManifestIndex:
    """Looks at every entry once; `visit` is called with each one that stands for its identity."""
    found = ManifestIndex()
    digests: dict[tuple[str, str, str], str] = {}
    types: dict[str, str] = {}
    links: list[Entry] = []
    for entry in manifest.entries():
        if _is_again(found, digests, entry):
            continue
        found.total_bytes = min(MAX_SUM, found.total_bytes + sum(file.bytes or 0 for file in entry.files))
        found.derivatives_ignored += entry.derivatives_ignored
        if entry.problem is None:
            _note_type(found, types, entry)
            if entry.is_cover or entry.cover_hash:
                links.append(entry)
        visit(entry)
    _choose_covers(found, [entry for entry in links if entry.identity not in found.problems])
    return found


def _is_again(found: ManifestIndex, digests: dict[tuple[str, str, str], str], entry: Entry) -> bool:
    """Whether an entry repeats an earlier one; a differing repetition dooms both."""
    known = digests.get(entry.identity)
    if known is None:
        digests[entry.identity] = entry.sha256
        found.first[entry.identity] = entry.ordinal
        return False
    if known == entry.sha256:
        found.collapsed += 1
    else:
        problem = f"{entry.asset_type} {entry.asset_hash} is listed twice, and differently"
        found.problems[entry.identity] = (Reason.DUPLICATE_ITEM, problem)
    return True


def _note_type(found: ManifestIndex, types: dict[str, str], entry: Entry) -> None:
    if entry.is_cover:
        return
    other = types.setdefault(entry.asset_hash, entry.asset_type)
    if other != entry.asset_type:
        problem = f"hash {entry.asset_hash} is listed as {other} and as {entry.asset_type}"
        found.problems[entry.identity] = (Reason.TYPE_CONFLICT, problem)


def _choose_covers(found: ManifestIndex, links: list[Entry]) -> None:
    """The last cover item of an asset wins, and what the asset's own entry says wins over it."""
    items = {entry.identity: entry.ordinal for entry in links if entry.is_cover}
    for (_, cover, parent), ordinal in items.items():
        found.covers[parent] = (cover, ordinal)
    for entry in links:
        if not entry.is_cover and entry.cover_hash:
            item = items.get(("cover", entry.cover_hash, entry.asset_hash))
            found.covers[entry.asset_hash] = (entry.cover_hash, item)

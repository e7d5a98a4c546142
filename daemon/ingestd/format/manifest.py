"""A checked manifest: its envelope, its entries and containers as records, and its index. Pure."""

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from ingestd.format.container import Container
from ingestd.format.entry import Entry
from ingestd.format.fields import Limits
from ingestd.format.manifest_index import ManifestIndex
from ingestd.format.manifest_parser import Part, parse_parts
from ingestd.format.records import Block, Envelope, RecordStore
from ingestd.model import Version


class Manifest(Envelope, tag=False, frozen=True, kw_only=True):
    """A manifest whose envelope is valid. Entries are decoded when they are requested.

    `sha256` is the digest of the manifest's bytes.
    """

    sha256: str
    index: ManifestIndex
    item_records: RecordStore
    container_records: RecordStore

    @property
    def version(self) -> Version:
        return Version(self.completed_at, self.sync_id, self.prior_sync_id)

    def entry(self, ordinal: int) -> Entry:
        """The entry at a place."""
        return self.item_records.entry(ordinal)

    def entries(self) -> Iterator[Entry]:
        return map(self.entry, range(self.item_count))

    def standing(self) -> Iterator[Entry]:
        """The entries that represent their identity: the first of each."""
        repeated = self.index.repeated
        return (self.entry(ordinal) for ordinal in range(self.item_count) if ordinal not in repeated)

    def containers(self) -> list[Container]:
        """All containers. Exact duplicates are collapsed; others of the same identity get a problem."""
        return unique_containers(map(self.container_records.container, range(self.container_count)))


def unique_containers(containers: Iterable[Container]) -> list[Container]:
    """One container for each identity; those with different content get a problem."""
    found: dict[tuple[str, str], Container] = {}
    for container in containers:
        known = found.setdefault(container.identity, container)
        if known.sha256 != container.sha256:
            problem = f"{container.type} {container.hash} is listed twice with different content"
            found[container.identity] = msgspec.structs.replace(known, problem=problem)
    return list(found.values())


class ManifestBuilder:
    """Puts the parts of a manifest together, in the order in which they are parsed."""

    def __init__(self) -> None:
        self._envelope: Envelope | None = None
        self._records = {"items": RecordStore(), "containers": RecordStore()}
        self._index: ManifestIndex | None = None

    @property
    def is_complete(self) -> bool:
        return self._index is not None

    def add(self, part: Part) -> None:
        match part:
            case Envelope():
                self._envelope = part
            case Block():
                self._records[part.kind].add(part)
            case ManifestIndex():
                self._index = part

    def build(self, sha256: str) -> Manifest:
        """The manifest, from all its parts."""
        assert self._envelope is not None, "the envelope comes first"
        assert self._index is not None, "the index comes last"
        fields = msgspec.structs.asdict(self._envelope)
        return Manifest(sha256=sha256, **fields, index=self._index,
                        item_records=self._records["items"], container_records=self._records["containers"])  # fmt: skip


def parse_manifest(data: bytes, *, sync_id: str | None = None, limits: Limits | None = None) -> Manifest:
    """The manifest in `data`, parsed in this process. `sync_id` and errors as for `parse_parts`."""
    builder = ManifestBuilder()
    for part in parse_parts(data, sync_id, limits or Limits()):
        builder.add(part)
    return builder.build(hashlib.sha256(data).hexdigest())

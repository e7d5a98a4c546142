"""A checked manifest: its envelope, its entries and containers as records, and its index. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property

import msgspec

from ingestd.format.container import Container
from ingestd.format.entry import Entry
from ingestd.format.fields import Limits
from ingestd.format.manifest_index import ManifestIndex
from ingestd.format.manifest_parser import Part, parse_parts
from ingestd.format.records import Block, Envelope, Keep, RecordStore, in_memory


class Manifest(Envelope, tag=False, frozen=True, kw_only=True, dict=True):
    """A manifest whose envelope is valid. Entries are decoded when they are requested.

    `sha256` is the digest of the manifest's bytes.
    """

    sha256: str
    index: ManifestIndex
    item_records: RecordStore
    container_records: RecordStore

    def entry(self, ordinal: int) -> Entry:
        """The entry at a place."""
        return self.item_records.entry(ordinal)

    def entries(self) -> Iterator[Entry]:
        return map(self.entry, range(self.item_count))

    def standing(self) -> Iterator[Entry]:
        """The entries that represent their identity: the first of each."""
        repeated = self.index.repeated
        return (self.entry(ordinal) for ordinal in range(self.item_count) if ordinal not in repeated)

    def container(self, ordinal: int) -> Container:
        """The container at a place."""
        return self.container_records.container(ordinal)

    def containers(self) -> Iterator[Container]:
        """One container for each identity; those that are listed with different content get a problem.

        Each is decoded when it is its turn: all together may have many more members than there is memory for.
        """
        for ordinal, differs in self._standing_containers.items():
            container = self.container(ordinal)
            yield _listed_twice(container) if differs else container

    @property
    def distinct_containers(self) -> int:
        """How many containers there are."""
        return len(self._standing_containers)

    @cached_property
    def _standing_containers(self) -> dict[int, bool]:
        """The places of the first container of each identity, and whether another one with it differs."""
        firsts: dict[tuple[str, str], tuple[int, str]] = {}
        differing = set()
        for container in map(self.container, range(self.container_count)):
            first, sha256 = firsts.setdefault(container.identity, (container.ordinal, container.sha256))
            if sha256 != container.sha256:
                differing.add(first)
        return {ordinal: ordinal in differing for ordinal, _ in firsts.values()}


def unique_containers(containers: Iterable[Container]) -> list[Container]:
    """One container for each identity; those with different content get a problem."""
    found: dict[tuple[str, str], Container] = {}
    for container in containers:
        known = found.setdefault(container.identity, container)
        if known.sha256 != container.sha256:
            found[container.identity] = _listed_twice(known)
    return list(found.values())


def _listed_twice(container: Container) -> Container:
    problem = f"{container.type} {container.hash} is listed twice with different content"
    return msgspec.structs.replace(container, problem=problem)


class ManifestBuilder:
    """Puts the parts of a manifest together, in the order in which they are parsed. `keep` keeps its records."""

    def __init__(self, keep: Keep = in_memory) -> None:
        self._envelope: Envelope | None = None
        self._records = {"items": RecordStore(keep), "containers": RecordStore(keep)}
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

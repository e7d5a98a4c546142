"""A manifest, from bytes to a checked envelope with items that are parsed on demand. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from ingestd.errors import ManifestError, ManifestUnsettled
from ingestd.format.container import Container, parse_container
from ingestd.format.entry import Entry, parse_entry
from ingestd.format.envelope import EnvelopeReader
from ingestd.format.nesting import MAX_NESTING
from ingestd.format.strict_json import check_json
from ingestd.model import Action, Version

MAX_CACHED_ENTRIES = 250_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose envelope is valid. Items stay raw until requested, so that a million of them fit into memory.

    Times are naive UTC; `sha256` is the digest of the manifest's bytes.
    """

    sha256: str
    sync_id: str
    type: str
    action: Action
    created_at: datetime
    completed_at: datetime
    source_host: str | None
    prior_sync_id: str | None
    summary: dict[str, Any]
    raw_items: list[msgspec.Raw] = field(repr=False)
    raw_containers: list[msgspec.Raw] = field(repr=False)

    cached_entries: dict[int, Entry] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> Version:
        return Version(self.completed_at, self.sync_id, self.prior_sync_id)

    def entry(self, ordinal: int) -> Entry:
        """The entry at a place. The first MAX_CACHED_ENTRIES that are requested are parsed only once."""
        entry = self.cached_entries.get(ordinal)
        if entry is None:
            entry = parse_entry(ordinal, self.raw_items[ordinal])
            if len(self.cached_entries) < MAX_CACHED_ENTRIES:
                self.cached_entries[ordinal] = entry
        return entry

    def entries(self) -> Iterator[Entry]:
        return map(self.entry, range(len(self.raw_items)))

    def containers(self) -> list[Container]:
        """All containers. Exact duplicates are collapsed; others of the same identity get a problem."""
        found: dict[tuple[str, str], Container] = {}
        for ordinal, raw in enumerate(self.raw_containers):
            container = parse_container(ordinal, raw)
            known = found.setdefault(container.identity, container)
            if known.sha256 != container.sha256:
                problem = f"{container.type} {container.hash} is listed twice with different content"
                found[container.identity] = msgspec.structs.replace(known, problem=problem)
        return list(found.values())


def parse_manifest(
    data: bytes, *, sync_id: str | None = None, max_items: int = 1_000_000, sha256: str | None = None
) -> Manifest:
    """The manifest in `data`. `sync_id`: the one in its file name, and `sha256` its digest, where they are known.

    Raises ManifestUnsettled when the bytes are not complete JSON (they may be half-written), otherwise ManifestError
    with every problem of the envelope.
    """
    fields = split_fields(data)
    reader = EnvelopeReader(fields)
    reader.check(lambda: check_json(_without_lists(data, fields)))
    envelope = reader.read(sync_id, max_items)
    if reader.problems or envelope is None:
        raise ManifestError(reader.problems)
    return Manifest(sha256 or hashlib.sha256(data).hexdigest(), **envelope)


def split_fields(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of the envelope, unchecked. Raises as `parse_manifest` when the bytes are not a JSON object."""
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise ManifestError(["the manifest is not a JSON object"]) from None
    except RecursionError:
        raise ManifestError([f"the manifest is nested deeper than {MAX_NESTING} levels"]) from None
    except ValueError as error:
        raise ManifestUnsettled([f"the manifest is not complete JSON: {error}"]) from None


def _without_lists(data: bytes, fields: dict[str, msgspec.Raw]) -> bytes:
    """The envelope without its items and containers, which are checked one by one."""
    for key in ("items", "containers"):
        raw = memoryview(fields.get(key, b""))
        if bytes(raw[:1]) == b"[":
            data = data.replace(raw, b"[]", 1)
    return data

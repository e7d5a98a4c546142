"""One container of a manifest, from raw JSON to a checked record. Pure; a bad one becomes a record that says why."""

import hashlib
from typing import Any

import msgspec

from ingestd.format.entry import USABLE_HASH, USABLE_TYPE, BadEntry, Hash, Text, brief, check_json, in_words, usable
from ingestd.model import Reason

CONTAINER_TYPES = frozenset({"gallery", "collection"})


class Container(msgspec.Struct, frozen=True):
    """One container of a manifest; `members` are asset hashes in order, each once."""

    ordinal: int
    type: str
    hash: str
    sha256: str
    title: str | None = None
    members: tuple[str, ...] = ()
    complete: bool = False
    problem: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return (self.type, self.hash)


class _Container(msgspec.Struct):
    type: str
    hash: Hash
    title: Text | None = None
    items: list[Hash] = []
    complete: bool = False


_decode_container = msgspec.json.Decoder(_Container).decode


def parse_container(ordinal: int, raw: msgspec.Raw) -> Container:
    """The container at place `ordinal`; never raises."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        check_json(bytes(raw))
        if (kind := _other_type(raw)) is not None:
            return Container(ordinal, kind, _hash_or_place(raw, ordinal), digest)
        found = _decode_container(raw)
        if found.type not in CONTAINER_TYPES:
            raise BadEntry(Reason.BAD_ENTRY, f"{brief(found.type)} cannot be the type of a container")
    except (BadEntry, ValueError) as error:
        kind = _field(raw, "type")
        kind = kind if kind in CONTAINER_TYPES else "invalid"
        return Container(ordinal, kind, _hash_or_place(raw, ordinal), digest, problem=in_words(error))
    members = tuple(dict.fromkeys(found.items))
    return Container(ordinal, found.type, found.hash, digest, found.title, members, found.complete)


def _other_type(raw: msgspec.Raw) -> str | None:
    """The type of a container that ingestd leaves alone; None for those it imports or cannot make sense of."""
    kind = _field(raw, "type")
    return kind if usable(USABLE_TYPE, kind) and kind not in CONTAINER_TYPES and kind != "invalid" else None


def _hash_or_place(raw: msgspec.Raw, ordinal: int) -> str:
    value = _field(raw, "hash")
    return value if value is not None and usable(USABLE_HASH, value) else f"#{ordinal}"


def _field(raw: msgspec.Raw, key: str) -> str | None:
    try:
        value = msgspec.json.decode(raw, type=dict[str, Any]).get(key)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None

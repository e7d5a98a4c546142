"""One entry of a manifest's `containers`, from raw JSON to a checked record. Pure.

An invalid container becomes a record, too, with the problem.
"""

import hashlib
from typing import Any

import msgspec

from ingestd.format.fields import HASH, TYPE, BadEntry, Hash, Text, describe_error, is_valid, short_repr
from ingestd.format.strict_json import check_json
from ingestd.model import Reason

CONTAINER_TYPES = frozenset({"gallery", "collection"})


class Container(msgspec.Struct, frozen=True):
    """One container of a manifest. `members` are hashes of assets, in order and without duplicates."""

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
        if (other := _other_type(raw)) is not None:
            return Container(ordinal, other, _hash_or_place(raw, ordinal), digest)
        found = _decode_container(raw)
        if found.type not in CONTAINER_TYPES:
            raise BadEntry(Reason.BAD_ENTRY, f"type: {short_repr(found.type)} is not a valid type of a container")
    except (BadEntry, ValueError) as error:
        return _invalid(ordinal, raw, digest, describe_error(error))
    members = tuple(dict.fromkeys(found.items))
    return Container(ordinal, found.type, found.hash, digest, found.title, members, found.complete)


def _invalid(ordinal: int, raw: msgspec.Raw, digest: str, problem: str) -> Container:
    type_ = _field(raw, "type")
    type_ = type_ if type_ in CONTAINER_TYPES else "invalid"
    return Container(ordinal, type_, _hash_or_place(raw, ordinal), digest, problem=problem)


def _other_type(raw: msgspec.Raw) -> str | None:
    """The type of a container that is valid, but not imported; None for all others."""
    type_ = _field(raw, "type")
    return type_ if is_valid(TYPE, type_) and type_ not in CONTAINER_TYPES and type_ != "invalid" else None


def _hash_or_place(raw: msgspec.Raw, ordinal: int) -> str:
    value = _field(raw, "hash")
    return value if value is not None and is_valid(HASH, value) else f"#{ordinal}"


def _field(raw: msgspec.Raw, key: str) -> str | None:
    try:
        value = msgspec.json.decode(raw, type=dict[str, Any]).get(key)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None

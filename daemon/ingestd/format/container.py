"""One entry of a manifest's `containers`, from raw JSON to a checked record. Pure.

An invalid container becomes a record, too, with the problem.
"""

import hashlib

import msgspec

from ingestd.format.fields import (
    HASH,
    TYPE,
    BadEntry,
    Hash,
    Limits,
    Text,
    describe_error,
    is_valid,
    short_repr,
    short_text,
)
from ingestd.format.json_splitter import TooDeep
from ingestd.format.nesting import MAX_NESTING
from ingestd.format.object_splitter import TooLong, split_object
from ingestd.format.strict_json import check_json
from ingestd.model import Reason

CONTAINER_TYPES = frozenset({"gallery", "collection"})


class Container(msgspec.Struct, frozen=True, array_like=True):
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
    items: list[Hash] | None = None
    complete: bool | None = None


class _Raw(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw(b"null")
    hash: msgspec.Raw = msgspec.Raw(b"null")
    items: msgspec.Raw = msgspec.Raw(b"")


_decode_container = msgspec.json.Decoder(_Container).decode
_decode_members = msgspec.json.Decoder(list[Hash]).decode
_decode_raw = msgspec.json.Decoder(_Raw).decode


def parse_container(ordinal: int, raw: msgspec.Raw | bytes, limits: Limits | None = None) -> Container:
    """The container at place `ordinal`; never raises."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        found = _checked(bytes(raw), limits or Limits())
    except (BadEntry, ValueError, RecursionError) as error:
        return _invalid(ordinal, raw, digest, describe_error(error))
    if found is None:
        return Container(ordinal, short_text(_decode_raw(raw).type), _hash_or_place(raw, ordinal), digest)
    members = tuple(found.items or ())
    if len(set(members)) < len(members):
        members = tuple(dict.fromkeys(members))
    return Container(ordinal, found.type, found.hash, digest, found.title, members, bool(found.complete))


def _checked(data: bytes, limits: Limits) -> _Container | None:
    """The decoded container; None if it is valid, but of a type that is not imported. Raises BadEntry, ValueError."""
    members: list[str] | None = None
    if len(data) > limits.max_entry_bytes:
        data, members = _without_members(data, limits)
    check_json(data)
    if _has_other_type(data):
        return None
    found = _decode_container(data)
    if found.type not in CONTAINER_TYPES:
        raise BadEntry(Reason.BAD_ENTRY, f"type: {short_repr(found.type)} is not a valid type of a container")
    if members is not None:
        found.items = members
    return found


def _without_members(data: bytes, limits: Limits) -> tuple[bytes, list[str]]:
    """The text of a long container without its members, and these: there may be as many as a manifest has items."""
    items = bytes(_decode_raw(data).items)
    try:
        split = split_object(data, {"items": items}, limits.max_entry_bytes, MAX_NESTING)
    except TooDeep:
        raise BadEntry(Reason.BAD_ENTRY, f"nested deeper than {MAX_NESTING} levels") from None
    except TooLong:
        problem = f"the container without `items` has more than {limits.max_entry_bytes} bytes (mount.max_entry_bytes)"
        raise BadEntry(Reason.BAD_ENTRY, problem) from None
    start, end = split.arrays.get("items", (0, 0))
    try:
        members = _decode_members(data[start:end] or b"[]")
    except ValueError as error:
        raise BadEntry(Reason.BAD_ENTRY, f"items{describe_error(error)}") from None
    if len(members) > limits.max_items:
        raise BadEntry(Reason.BAD_ENTRY, f"items: more than {limits.max_items} members (mount.max_items)")
    return split.rest, members


def _invalid(ordinal: int, raw: msgspec.Raw | bytes, digest: str, problem: str) -> Container:
    type_ = _field(raw, "type")
    type_ = type_ if type_ in CONTAINER_TYPES else "invalid"
    return Container(ordinal, type_, _hash_or_place(raw, ordinal), digest, problem=problem)


def _has_other_type(data: bytes) -> bool:
    """Whether a container has a valid type, but one that is not imported."""
    type_ = _field(data, "type")
    return is_valid(TYPE, type_) and type_ not in CONTAINER_TYPES and type_ != "invalid"


def _hash_or_place(raw: msgspec.Raw | bytes, ordinal: int) -> str:
    value = _field(raw, "hash")
    return value if is_valid(HASH, value) else f"#{ordinal}"


def _field(raw: msgspec.Raw | bytes, key: str) -> str:
    """A short text of a container; empty if it has no such text."""
    try:
        return short_text(getattr(_decode_raw(raw), key))
    except (ValueError, RecursionError):
        return ""

"""One entry of a manifest's `items`, from raw JSON to a checked record. Pure.

An invalid entry becomes a record, too, with the reason why the item fails.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter

import msgspec

from ingestd.format.fields import (
    CLEAN_PATH,
    HASH,
    MAX_PATH,
    TYPE,
    BadEntry,
    Hash,
    Limits,
    Sha256,
    Size,
    Text,
    Type,
    Variant,
    check_path,
    describe_error,
    is_valid,
    short_text,
)
from ingestd.format.strict_json import check_json, without_surrogates
from ingestd.model import Reason

IGNORED_VARIANTS = frozenset({"frosted", "blurred", "vivid_blurred"})
MIN_IDENTITY_BYTES = len('{"type":"t","hash":""}') + 32


class File(msgspec.Struct, frozen=True, gc=False):
    """One file of an item; `path` is relative to the item's folder, `bytes` the file's size."""

    variant: str
    path: str
    bytes: int | None = None
    sha256: str | None = None


class _ListedFile(File, frozen=True, gc=False):
    """A file as a manifest lists it; afterwards its values are known to be valid, and checking them costs time."""

    variant: Variant
    bytes: Size | None = None
    sha256: Sha256 | None = None


class _Item(msgspec.Struct, gc=False):
    type: Type
    hash: Hash
    path: str | None = None
    cover_hash: Hash | None = None
    parent_hash: Hash | None = None
    title: Text | None = None
    files: list[_ListedFile] | None = None


class _Identity(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw(b"null")
    hash: msgspec.Raw = msgspec.Raw(b"null")


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One item of a manifest, checked and in normal form: without ignored variants, files in order of variant.

    `sha256` is the digest of the normal form. `reason` and `problem` are set if the item fails.
    """

    ordinal: int
    asset_type: str
    asset_hash: str
    sha256: str
    path: str | None = None
    cover_hash: str | None = None
    parent_hash: str | None = None
    title: str | None = None
    files: tuple[File, ...] = ()
    derivatives_ignored: int = 0
    reason: Reason | None = None
    problem: str | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.asset_type, self.asset_hash, self.parent_hash or "")

    @property
    def has_identity(self) -> bool:
        """Whether type and hash are usable; others are identified by their place."""
        return self.asset_type != "invalid"

    @property
    def is_cover(self) -> bool:
        return self.asset_type == "cover"


_decode_item = msgspec.json.Decoder(_Item).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_encode = msgspec.json.Encoder().encode
_variant_of = attrgetter("variant")


def parse_entry(ordinal: int, raw: msgspec.Raw | bytes, max_bytes: int = Limits().max_entry_bytes) -> Entry:
    """The entry at place `ordinal`; never raises."""
    if len(raw) < MIN_IDENTITY_BYTES:
        return msgspec.structs.replace(_short_entry(bytes(raw)), ordinal=ordinal, asset_hash=f"#{ordinal}")
    if len(raw) > max_bytes:
        problem = f"the item has {len(raw)} bytes, more than {max_bytes} (mount.max_entry_bytes)"
        return _invalid(ordinal, raw, Reason.BAD_ENTRY, problem)
    return _parse(ordinal, raw)


@lru_cache(maxsize=1024)
def _short_entry(raw: bytes) -> Entry:
    """An entry that is too short for an identity. A hostile manifest may have a million of the same."""
    return _parse(0, raw)


def _parse(ordinal: int, raw: msgspec.Raw | bytes) -> Entry:
    try:
        item = _decode_item(raw)
        if bytes(raw).count(b":") != _count_known_keys(item):
            check_json(bytes(raw))
        return _normalize(ordinal, item)
    except BadEntry as bad:
        return _invalid(ordinal, raw, bad.reason, bad.problem)
    except (ValueError, RecursionError) as error:  # from msgspec, or from a string that is not UTF-8
        return _invalid(ordinal, raw, Reason.BAD_ENTRY, _json_problem(raw) or describe_error(error))


def _count_known_keys(item: _Item) -> int:
    """The number of keys that decoding kept. If there are as many colons, no key is unknown or a duplicate."""
    keys = 2 + (item.path is not None) + (item.cover_hash is not None) + (item.parent_hash is not None)
    keys += (item.title is not None) + bool(item.files)
    for file in item.files or ():
        keys += 2 + (file.bytes is not None) + (file.sha256 is not None)
    return keys


def _json_problem(raw: msgspec.Raw | bytes) -> str | None:
    try:
        check_json(bytes(raw))
    except BadEntry as bad:
        return bad.problem
    return None


def _normalize(ordinal: int, item: _Item) -> Entry:
    """Raises BadEntry for values that are each of the right type, but wrong together."""
    is_cover = item.type == "cover"
    _check_item(item, is_cover)
    listed = item.files or []
    files = [file for file in listed if file.variant not in IGNORED_VARIANTS]
    files.sort(key=_variant_of)
    _check_files(item.path, files)
    parent = item.parent_hash if is_cover else None
    normal = (item.type, item.hash, parent, item.path, item.cover_hash, item.title, files)
    digest = hashlib.sha256(_encode(normal)).hexdigest()
    ignored = len(listed) - len(files)
    return Entry(
        ordinal, item.type, item.hash, digest, item.path, item.cover_hash, parent, item.title, tuple(files), ignored
    )


def _check_item(item: _Item, is_cover: bool) -> None:
    if item.type == "invalid":
        raise BadEntry(Reason.BAD_ENTRY, "type `invalid` is reserved")
    if is_cover and item.parent_hash is None:
        raise BadEntry(Reason.BAD_ENTRY, "`parent_hash` is missing: a cover must name its asset")
    if item.files and item.path is None:
        raise BadEntry(Reason.BAD_ENTRY, "`path` is missing: an item with `files` must name its folder")
    check_path("path", item.path)


def _check_files(folder: str | None, files: Sequence[File]) -> None:
    for earlier, file in pairwise(files):
        if earlier.variant == file.variant:
            raise BadEntry(Reason.BAD_ENTRY, f"variant {file.variant!r} is listed twice")
    for file in files:
        if len(folder or "") + len(file.path) >= MAX_PATH:
            raise BadEntry(Reason.BAD_ENTRY, f"path of file {file.variant!r} is longer than {MAX_PATH} characters")
        if not CLEAN_PATH.fullmatch(file.path):
            check_path(f"path of file {file.variant!r}", file.path)


def _invalid(ordinal: int, raw: msgspec.Raw | bytes, reason: Reason, problem: str) -> Entry:
    """An entry that fails, under its own identity if that is valid, else under its place."""
    type_, hash_ = _usable_identity(raw) or ("invalid", f"#{ordinal}")
    return Entry(ordinal, type_, hash_, hashlib.sha256(raw).hexdigest(), reason=reason, problem=problem)


def _usable_identity(raw: msgspec.Raw | bytes) -> tuple[str, str] | None:
    """The type and hash of a bad entry, if both are valid."""
    if len(raw) < MIN_IDENTITY_BYTES:
        return None
    if len(raw) <= Limits().max_entry_bytes:
        raw = without_surrogates(bytes(raw))
    try:
        identity = _decode_identity(raw)
        type_, hash_ = short_text(identity.type), short_text(identity.hash)
    except (ValueError, RecursionError):
        return None
    is_usable = is_valid(TYPE, type_) and is_valid(HASH, hash_) and type_ != "invalid"
    return (type_, hash_) if is_usable else None

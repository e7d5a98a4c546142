"""One entry of a manifest, from raw JSON to a checked record. Pure; a bad entry becomes a record that says why."""

import hashlib
import json
import re
from itertools import pairwise
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from ingestd.model import Reason

IGNORED_VARIANTS = frozenset({"frosted", "blurred", "vivid_blurred"})
MAX_NESTING = 30
MAX_PATH = 1024
MAX_SHOWN = 200

USABLE_TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
USABLE_HASH = re.compile(r"[0-9a-f]{32}")
CLEAN_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f-\x9f]+(?:/(?!\Z)|\Z))+")

_TEXT = r"\A[^\x00-\x1f\x7f]*\Z"
_HASH = r"\A[0-9a-f]{32}\Z"
_SHA256 = r"\A[0-9a-f]{64}\Z"
_VARIANT = r"\A[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}\Z"
_TYPE = r"\A[a-z][a-z0-9_]{0,31}\Z"
_MEANINGS = {
    _TEXT: "text without control characters",
    _HASH: "32 lower-case hexadecimal digits",
    _SHA256: "64 lower-case hexadecimal digits",
    _VARIANT: "up to 64 letters, digits, `_`, `.`, `+` and `-`, the first of them a letter or digit",
    _TYPE: "up to 32 lower-case letters, digits and `_`, the first of them a letter",
}
_MISMATCH = re.compile(r"Expected `str` matching regex '(?P<pattern>.*)'(?: - at `\$\.?(?P<place>.*)`)?")
Text = Annotated[str, msgspec.Meta(max_length=1000, pattern=_TEXT)]
Hash = Annotated[str, msgspec.Meta(pattern=_HASH)]
Sha256 = Annotated[str, msgspec.Meta(pattern=_SHA256)]
Variant = Annotated[str, msgspec.Meta(pattern=_VARIANT)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class File(msgspec.Struct, frozen=True, gc=False):
    """One file of an item; `path` is relative to the item, `bytes` its size."""

    variant: Variant
    path: str
    bytes: Size | None = None
    sha256: Sha256 | None = None


class _Item(msgspec.Struct, gc=False):
    type: Annotated[str, msgspec.Meta(pattern=_TYPE)]
    hash: Hash
    path: str | None = None
    cover_hash: Hash | None = None
    parent_hash: Hash | None = None
    title: Text | None = None
    files: list[File] = []


class _Identity(msgspec.Struct):
    type: Any = None
    hash: Any = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One item of a manifest, checked and in normal form: only the files that are persisted, in order of variant.

    `sha256` digests the normal form; `problem` and `reason` say why the item can only fail. Not serialised as such.
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
    def is_cover(self) -> bool:
        return self.asset_type == "cover"


class BadEntry(Exception):
    """Why an entry can only fail."""

    def __init__(self, reason: Reason, problem: str) -> None:
        super().__init__(problem)
        self.reason, self.problem = reason, problem


_decode_item = msgspec.json.Decoder(_Item).decode
_decode_anything = msgspec.json.Decoder().decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_variant_of = attrgetter("variant")
_NESTED = (dict, list)
_encode = msgspec.json.Encoder().encode


def parse_entry(ordinal: int, raw: msgspec.Raw) -> Entry:
    """The entry at place `ordinal`; never raises."""
    try:
        item = _decode_item(raw)
        if bytes(raw).count(b":") != _keys_of(item):
            check_json(bytes(raw))
        return _normal(ordinal, item)
    except BadEntry as bad:
        return _failing(ordinal, raw, bad.reason, bad.problem)
    except (ValueError, RecursionError) as error:  # from msgspec, or from a string that is no UTF-8
        return _failing(ordinal, raw, Reason.BAD_ENTRY, _json_problem(raw) or in_words(error))


def in_words(error: Exception) -> str:
    """What is wrong with a value, for people who do not read regular expressions."""
    found = _MISMATCH.fullmatch(str(error))
    meaning = found and next((text for known, text in _MEANINGS.items() if repr(known)[1:-1] == found["pattern"]), None)
    if not found or not meaning:
        return str(error)
    return f"{found['place']}: expected {meaning}" if found["place"] else f"expected {meaning}"


def _keys_of(item: _Item) -> int:
    """How many keys an item is known to have. No more colons than that, and there is no unknown or repeated key."""
    keys = 2 + (item.path is not None) + (item.cover_hash is not None) + (item.parent_hash is not None)
    keys += (item.title is not None) + bool(item.files)
    for file in item.files:
        keys += 2 + (file.bytes is not None) + (file.sha256 is not None)
    return keys


def _json_problem(raw: msgspec.Raw) -> str | None:
    try:
        check_json(bytes(raw))
    except BadEntry as bad:
        return bad.problem
    return None


def _normal(ordinal: int, item: _Item) -> Entry:
    if item.type == "invalid":
        raise BadEntry(Reason.BAD_ENTRY, "type `invalid` is reserved")
    is_cover = item.type == "cover"
    if is_cover and item.parent_hash is None:
        raise BadEntry(Reason.BAD_ENTRY, "a cover names its asset in `parent_hash`")
    if item.files and item.path is None:
        raise BadEntry(Reason.BAD_ENTRY, "`files` without the item's `path`")
    check_path("path", item.path)
    files = [file for file in item.files if file.variant not in IGNORED_VARIANTS]
    files.sort(key=_variant_of)
    _check_files(item.path, files)
    parent = item.parent_hash if is_cover else None
    normal = (item.type, item.hash, parent, item.path, item.cover_hash, item.title, files)
    digest = hashlib.sha256(_encode(normal)).hexdigest()
    ignored = len(item.files) - len(files)
    return Entry(
        ordinal, item.type, item.hash, digest, item.path, item.cover_hash, parent, item.title, tuple(files), ignored
    )


def _check_files(folder: str | None, files: list[File]) -> None:
    for earlier, file in pairwise(files):
        if earlier.variant == file.variant:
            raise BadEntry(Reason.BAD_ENTRY, f"variant {file.variant!r} is listed twice")
    for file in files:
        if not CLEAN_PATH.fullmatch(file.path):
            check_path(f"path of file {file.variant!r}", file.path)
        if len(folder or "") + len(file.path) >= MAX_PATH:
            raise BadEntry(Reason.BAD_ENTRY, f"path of file {file.variant!r} is longer than {MAX_PATH} characters")


def check_path(what: str, path: str | None) -> None:
    """Raises BadEntry unless `path` is a clean relative path that stays below where it starts."""
    if path is None:
        return
    if not CLEAN_PATH.fullmatch(path):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{what} is not a plain relative path: {brief(path)}")
    if len(path) > MAX_PATH:
        raise BadEntry(Reason.BAD_ENTRY, f"{what} is longer than {MAX_PATH} characters")


def _failing(ordinal: int, raw: msgspec.Raw, reason: Reason, problem: str) -> Entry:
    kind, hash_ = "invalid", f"#{ordinal}"
    try:
        identity = _decode_identity(raw)
    except (ValueError, RecursionError):
        identity = _Identity()
    if usable(USABLE_TYPE, identity.type) and usable(USABLE_HASH, identity.hash) and identity.type != "invalid":
        kind, hash_ = identity.type, identity.hash
    return Entry(ordinal, kind, hash_, hashlib.sha256(raw).hexdigest(), reason=reason, problem=problem)


def brief(value: object) -> str:
    """How a value from outside looks in a problem, which must stay short enough to be stored."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def usable(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def check_json(raw: bytes) -> None:
    """Raises BadEntry for a duplicate key or for nesting that the database would refuse."""
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTING and nesting(raw) > MAX_NESTING:
        raise BadEntry(Reason.BAD_ENTRY, f"nested deeper than {MAX_NESTING}")
    if _has_no_key_twice(raw):
        return
    try:
        _load_strictly(raw.decode())
    except ValueError as error:
        raise BadEntry(Reason.BAD_ENTRY, str(error)) from None


def nesting(raw: bytes) -> int:
    """How deep the brackets of JSON text go, strings apart."""
    depth = deepest = 0
    for bracket in _NOT_BRACKETS.sub(b"", raw):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def depth_problem(data: bytes) -> str | None:
    """Why a document is too deep for the database, if it is."""
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING or nesting(data) <= MAX_NESTING:
        return None
    return f"nested deeper than {MAX_NESTING}"


_NOT_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL)


def _has_no_key_twice(raw: bytes) -> bool:
    """A quick proof: as many colons as keys survive decoding. False proves nothing; strings have colons, too."""
    try:
        return raw.count(b":") == _count_keys(_decode_anything(raw))
    except (ValueError, RecursionError):
        return False


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(_count_keys(v) for v in value.values() if type(v) in _NESTED)
    return sum(_count_keys(v) for v in value if type(v) in _NESTED) if type(value) is list else 0


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > len({key for key, _ in pairs}):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadEntry(Reason.BAD_ENTRY, f"key {brief(twice)} appears twice")


_load_strictly = json.JSONDecoder(object_pairs_hook=_unique).decode

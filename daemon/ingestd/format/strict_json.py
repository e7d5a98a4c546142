"""Checks of JSON text that decoders do not make: duplicate keys, too deep nesting, text that is not Unicode. Pure."""

import json
import re
from typing import Any

import msgspec

from ingestd.format.fields import MAX_SHOWN, BadEntry, short_repr
from ingestd.format.nesting import depth_problem
from ingestd.model import Reason

_SURROGATE = re.compile("[\ud800-\udfff]")
LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_NESTED = (dict, list)
_decode = msgspec.json.Decoder().decode


def check_json(raw: bytes) -> None:
    """Raises BadEntry for a duplicate key, too deep nesting, and text that no program can write: not Unicode."""
    if (problem := depth_problem(raw)) is not None:
        raise BadEntry(Reason.BAD_ENTRY, problem)
    if _has_unique_keys(raw):
        return
    if (problem := text_problem(raw)) is not None:
        raise BadEntry(Reason.BAD_ENTRY, problem)
    try:
        _load_strictly(raw.decode())
    except ValueError as error:
        raise BadEntry(Reason.BAD_ENTRY, str(error)) from None


def repeated_key(raw: bytes) -> str | None:
    """Which key of valid JSON appears twice in one object, in words; None if there is none. Decoders keep the last."""
    if _has_unique_keys(raw):
        return None
    try:
        _load_strictly(raw.decode())
    except BadEntry as error:
        return error.problem
    except RecursionError:
        return "too deeply nested"
    return None


def _has_unique_keys(raw: bytes) -> bool:
    """A fast test: decoding keeps as many keys as there are colons. False may also mean that a string has colons."""
    try:
        return raw.count(b":") == _count_keys(_decode(raw))
    except (ValueError, RecursionError):
        return False


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(_count_keys(v) for v in value.values() if type(v) in _NESTED)
    return sum(_count_keys(v) for v in value if type(v) in _NESTED) if type(value) is list else 0


def _require_unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise BadEntry(Reason.BAD_ENTRY, f"key {short_repr(key)} appears twice")
        seen.add(key)


def text_problem(raw: bytes) -> str | None:
    """The place of a text in JSON that is not Unicode, and why; None if there is no such text."""
    if raw.isascii() and b"\\u" not in raw:
        return None
    try:
        value = _load_loosely(raw.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    place = _surrogate_place(value)
    if place is None:
        return None
    what = "an unpaired surrogate" if _is_utf8(raw) else "bytes that are not UTF-8"
    return f"{place.removeprefix('.')[:MAX_SHOWN] or 'value'}: contains {what}"


def without_surrogates(raw: bytes) -> bytes:
    """JSON text with U+FFFD in place of each unpaired surrogate; also of some that are escaped themselves."""
    return LONE_SURROGATE.sub(rb"\\ufffd", raw)


def _surrogate_place(value: Any) -> str | None:
    """The place of the first text with a surrogate, as in `files[0].path`; empty for the value itself."""
    if type(value) is str:
        return "" if _SURROGATE.search(value) else None
    if type(value) is dict:
        if any(map(_SURROGATE.search, value)):
            return ".(a key)"
        parts = ((f".{key}", inner) for key, inner in value.items())
    else:
        parts = ((f"[{number}]", inner) for number, inner in enumerate(value if type(value) is list else ()))
    places = ((part, _surrogate_place(inner)) for part, inner in parts)
    return next((part + place for part, place in places if place is not None), None)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


# Numbers stay text: they do not matter here, and Python refuses to convert very long ones.
_load_strictly = json.JSONDecoder(object_pairs_hook=_require_unique, parse_int=str, parse_float=str).decode
_load_loosely = json.JSONDecoder(parse_int=str, parse_float=str).decode

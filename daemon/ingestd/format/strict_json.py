"""Checks of JSON text that decoders do not make: duplicate keys, and too deep nesting. Pure."""

import json
from typing import Any

import msgspec

from ingestd.format.fields import BadEntry, short_repr
from ingestd.format.nesting import depth_problem
from ingestd.model import Reason

_NESTED = (dict, list)
_decode = msgspec.json.Decoder().decode


def check_json(raw: bytes) -> None:
    """Raises BadEntry for a duplicate key or for too deep nesting."""
    if (problem := depth_problem(raw)) is not None:
        raise BadEntry(Reason.BAD_ENTRY, problem)
    if _has_unique_keys(raw):
        return
    try:
        _load_strictly(raw.decode())
    except ValueError as error:
        raise BadEntry(Reason.BAD_ENTRY, str(error)) from None


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
    if len(pairs) > len({key for key, _ in pairs}):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise BadEntry(Reason.BAD_ENTRY, f"key {short_repr(duplicate)} appears twice")


_load_strictly = json.JSONDecoder(object_pairs_hook=_require_unique).decode

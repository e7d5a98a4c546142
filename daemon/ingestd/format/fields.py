"""Types of the values in a manifest, and how a wrong value is described. Pure."""

import re
from typing import Annotated

import msgspec

from ingestd.model import Reason

MAX_PATH = 1024
JSON_WORDS = {"True": "true", "False": "false", "None": "null"}
MAX_SHOWN = 200

SYNC_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
HASH = re.compile(r"[0-9a-f]{32}")
CLEAN_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f-\x9f]+(?:/(?!\Z)|\Z))+")
"""A relative path that stays below its start: no `.` or `..`, no empty part, no control characters."""

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
_PATTERNS = {f"`str` matching regex {pattern!r}": meaning for pattern, meaning in _MEANINGS.items()}
_EXPECTED = re.compile(r"Expected (?P<expected>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>\w+)`(?: - at `\$\.?(?P<place>.*)`)?")

Text = Annotated[str, msgspec.Meta(max_length=1000, pattern=_TEXT)]
Hash = Annotated[str, msgspec.Meta(pattern=_HASH)]
Sha256 = Annotated[str, msgspec.Meta(pattern=_SHA256)]
Variant = Annotated[str, msgspec.Meta(pattern=_VARIANT)]
Type = Annotated[str, msgspec.Meta(pattern=_TYPE)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Limits(msgspec.Struct, frozen=True):
    """What a manifest may contain; the settings of the same name in [mount]."""

    max_items: int = 1_000_000
    max_containers: int = 10_000
    max_envelope_bytes: int = 2**16
    max_entry_bytes: int = 2**18


class BadEntry(Exception):
    """The reason why an item or container fails, and the problem in words."""

    def __init__(self, reason: Reason, problem: str) -> None:
        super().__init__(problem)
        self.reason, self.problem = reason, problem


def check_path(name: str, path: str | None) -> None:
    """Raises BadEntry unless `path` is a clean relative path; `name` is what the problem calls it."""
    if path is None:
        return
    if len(path) > MAX_PATH:
        raise BadEntry(Reason.BAD_ENTRY, f"{name} is longer than {MAX_PATH} characters")
    if not CLEAN_PATH.fullmatch(path):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{name} is not a plain relative path: {short_repr(path)}")


def is_valid(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def short_text(raw: msgspec.Raw) -> str:
    """A text of up to MAX_SHOWN bytes of JSON; empty for a longer value and for one that is not text."""
    value = msgspec.json.decode(raw) if len(raw) <= MAX_SHOWN else None
    return value if isinstance(value, str) else ""


def describe_error(error: Exception) -> str:
    """A decoder's error as `place: problem`, with the meaning of a pattern instead of the pattern."""
    if found := _MISSING.fullmatch(str(error)):
        return f"{found['place']}.{found['field']}: missing" if found["place"] else f"{found['field']}: missing"
    if found := _EXPECTED.fullmatch(str(error)):
        expected = _PATTERNS.get(found["expected"], found["expected"])
        return f"{found['place']}: expected {expected}" if found["place"] else f"expected {expected}"
    return str(error)


def short_repr(value: object) -> str:
    """A value from outside for use in a problem, which has to be short enough to be stored."""
    text = JSON_WORDS.get(repr(value), repr(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"

"""Values with a quick way into a statement: whole chunks travel as one parameter, and the driver escapes slowly."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

ROWS_PER_STATEMENT = 1000
BYTES_PER_STATEMENT = 1 << 20
MIN_BASE64 = 1 << 16


class Json:
    """JSON text, in UTF-8, on its way into a statement. It has no raw control characters: two replacements escape it.

    No subclass of bytes: the driver would escape it as such, before it looked at its type.
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def rows_json(rows: Sequence[tuple[Any, ...]] | Sequence[str]) -> list[Json]:
    """Rows, or single values, on their way into a JSON_TABLE, as many together as one statement shall take."""
    starts = range(0, len(rows), ROWS_PER_STATEMENT)
    return [Json(orjson.dumps(rows[start : start + ROWS_PER_STATEMENT])) for start in starts]


class Hashes(tuple[str, ...]):
    """Hexadecimal hashes on their way into an IN (…): nothing in them needs escaping, and there are hundreds."""

    __slots__ = ()

    def __new__(cls, hashes: Iterable[str]) -> "Hashes":
        made = super().__new__(cls, hashes)
        if made and not "".join(made).isalnum():
            raise ValueError("not hashes")
        return made


def escape_hashes(value: Hashes, _mapping: object = None) -> str:
    return "('" + "','".join(value) + "')"


class Ids(tuple[int, ...]):
    """Row ids on their way into an IN (…)."""

    __slots__ = ()


def escape_ids(value: Ids, _mapping: object = None) -> str:
    return "(" + ",".join(map(str, map(int, value))) + ")"


def escape_json(value: Json, _mapping: object = None) -> str:
    """A literal. Long text goes as base64 if escapes would make it longer still, or Unicode its Python string.

    A statement is thus at most a third longer than its values, or max_allowed_packet could refuse a valid document.
    """
    text = value.text
    escaped = text.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    if len(text) < MIN_BASE64 or (3 * len(escaped) <= 4 * len(text) and text.isascii()):
        return f"'{escaped.decode()}'"
    del escaped
    return f"CONVERT(FROM_BASE64('{b64encode(text).decode()}') USING utf8mb4)"


class Values:
    """Rows of an INSERT … VALUES, escaped already."""

    __slots__ = ("count", "text")

    def __init__(self, rows: Sequence[str]) -> None:
        self.count, self.text = len(rows), ",".join(rows)


def rows_values(rows: Iterable[tuple[Any, ...]], *constants: Any) -> Iterator[Values]:
    """Rows, each with the same constants at its end, as many together as one statement shall take.

    A row is asked for when those of the statement before were sent: all may be too many for the memory.
    """
    end = "".join(f",{literal(value)}" for value in constants) + ")"
    part: list[str] = []
    size = 0
    for row in rows:
        text = "(" + ",".join([literal(value) for value in row]) + end
        bytes_ = len(text) if text.isascii() else len(text.encode())
        if part and (size + bytes_ > BYTES_PER_STATEMENT or len(part) == ROWS_PER_STATEMENT):
            yield Values(part)
            part, size = [], 0
        part.append(text)
        size += bytes_
    if part:
        yield Values(part)


def literal(value: Any) -> str:
    """A value of a row as SQL text, in sessions where a backslash escapes."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'" if value.isalnum() else _quoted(value)
    if type(value) is int:
        return str(value)
    if type(value) is Json:
        return escape_json(value)
    if type(value) is datetime:
        return f"'{value}'"
    raise TypeError(f"no value of a row: {type(value).__name__}")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def escape_values(value: Values, _mapping: object = None) -> str:
    return value.text


ENCODERS: dict[type, Callable[..., Any]] = {
    Json: escape_json, Hashes: escape_hashes, Ids: escape_ids, Values: escape_values,
}  # fmt: skip

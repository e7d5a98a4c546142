"""Values with a quick way into a statement: whole chunks travel as one parameter, and the driver escapes slowly."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from types import NoneType
from typing import Any, overload

import orjson

ROWS_PER_STATEMENT = 1000
BYTES_PER_STATEMENT = 1 << 19
"""of documents; escaping may double them"""
MIN_BASE64 = 1 << 16


class Json:
    """JSON text, in UTF-8, on its way into a statement. It has no raw control characters: two replacements escape it.

    No subclass of bytes: the driver would escape it as such, before it looked at its type.
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def rows_json(rows: Sequence[tuple[Any, ...]] | Sequence[dict[str, Any]] | Sequence[str]) -> list[Json]:
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


def span(ids: Sequence[int]) -> tuple[int, int] | None:
    """The first and the last of ids that follow one another; None if there are none, or if they do not.

    A range is quicker to plan and to look up than as many ids.
    """
    return (ids[0], ids[-1]) if ids and list(ids) == list(range(ids[0], ids[0] + len(ids))) else None


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


class Rows:
    """Rows on their way into a table, each with the same constants at its end.

    An INSERT … VALUES takes them as `values`, LOAD DATA as `lines`. Each form is made once, when it is first used.
    """

    __slots__ = ("_constants", "_lines", "_values", "rows")

    def __init__(self, rows: Sequence[tuple[Any, ...]], constants: tuple[Any, ...] = (), lines: bytes = b"") -> None:
        self.rows, self._constants = rows, constants
        self._lines, self._values = lines, ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def values(self) -> str:
        if not self._values:
            end = "".join(f",{literal(value)}" for value in self._constants) + ")"
            self._values = ",".join(["(" + ",".join([literal(value) for value in row]) + end for row in self.rows])
        return self._values

    @property
    def lines(self) -> bytes:
        if not self._lines:
            self._lines = b"".join(_lines(self.rows, self._constants))
        return self._lines

    def encode(self) -> None:
        """Makes the lines, ahead of the statement that takes them."""
        assert self.lines is not None


class AssetRows:
    """Rows that begin with the id of an asset, in whose place is its hash until it is inserted; None: no asset."""

    __slots__ = ("_constants", "_rests", "rows")

    def __init__(self, rows: Sequence[tuple[Any, ...]], constants: tuple[Any, ...] = ()) -> None:
        self.rows, self._constants = rows, constants
        self._rests: list[bytes] = []

    def encode(self) -> None:
        """Makes the lines but for the ids, ahead of the statement that takes them."""
        self._rests = _lines([row[1:] for row in self.rows], self._constants)

    def at(self, ids: Mapping[str, int]) -> Rows:
        """The rows, with the ids of assets by hash."""
        found = [row[0] and ids[row[0]] for row in self.rows]
        starts = [rb"\N	" if id_ is None else b"%d\t" % id_ for id_ in found] if self._rests else []
        lines = b"".join(chain.from_iterable(zip(starts, self._rests, strict=True)))
        return Rows(_RowsWithIds(found, self.rows), self._constants, lines)


class _RowsWithIds(Sequence[tuple[Any, ...]]):
    """Rows with the ids of their assets ahead, made one by one: where the lines are ready, hardly any is asked for."""

    __slots__ = ("_ids", "_rows")

    def __init__(self, ids: Sequence[int | None], rows: Sequence[tuple[Any, ...]]) -> None:
        self._ids, self._rows = ids, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> tuple[Any, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[tuple[Any, ...]]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return _RowsWithIds(self._ids[place], self._rows[place])
        return (self._ids[place], *self._rows[place][1:])


def _lines(rows: Sequence[tuple[Any, ...]], constants: tuple[Any, ...]) -> list[bytes]:
    """Rows as LOAD DATA takes them, column by column."""
    end = b"".join(b"\t" + field(value) for value in constants) + b"\n"
    columns = [_fields(column) for column in zip(*rows, strict=True)]
    return [line + end for line in map(b"\t".join, zip(*columns, strict=True))]


def rows_of(rows: Iterable[tuple[Any, ...]], *constants: Any) -> Iterator[Rows]:
    """Rows, as many together as one statement shall take. Only the last column may be Json, and long.

    A row is asked for when those of the statement before were sent: all may be too many for the memory.
    """
    return (Rows(part, constants) for part in _parts(rows))


def asset_rows_of(rows: Iterable[tuple[Any, ...]], *constants: Any) -> Iterator[AssetRows]:
    """As `rows_of`, for rows that begin with the hash of an asset."""
    return (AssetRows(part, constants) for part in _parts(rows))


def _parts(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    part: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        bytes_ = len(row[-1].text) if type(row[-1]) is Json else 0
        if part and (size + bytes_ > BYTES_PER_STATEMENT or len(part) == ROWS_PER_STATEMENT):
            yield part
            part, size = [], 0
        part.append(row)
        size += bytes_
    if part:
        yield part


def literal(value: Any) -> str:
    """A value of a row as SQL text, in sessions where a backslash escapes."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'" if value.isalnum() else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if type(value) is int:
        return str(value)
    if type(value) is Json:
        return escape_json(value)
    if type(value) is datetime:
        return f"'{value}'"
    raise TypeError(f"no value of a row: {type(value).__name__}")


def field(value: Any) -> bytes:
    r"""A value of a row as LOAD DATA reads it by default: \N is NULL, and a backslash escapes the ends of values."""
    if value is None:
        return rb"\N"
    if isinstance(value, str):
        text = value.encode()
        return text if value.isalnum() else _escaped(text)
    if type(value) is Json:
        return _escaped(value.text)
    return literal(value).strip("'").encode()


def _fields(column: Sequence[Any]) -> list[bytes]:
    """The values of one column, as `field` makes them; all at once where none of them needs an escape."""
    kinds = set(map(type, column))
    if all(issubclass(kind, str) for kind in kinds):
        texts = list(map(str.encode, column))
        is_plain = len(_escaped(together := b"".join(texts))) == len(together)
        return texts if is_plain else list(map(_escaped, texts))
    if kinds == {NoneType}:
        return [field(None)] * len(column)
    return list(map(b"%d".__mod__, column)) if kinds == {int} else list(map(field, column))


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b"\t", b"\\\t").replace(b"\n", b"\\\n")


def escape_rows(value: Rows, _mapping: object = None) -> str:
    return value.values


ENCODERS: dict[type, Callable[..., Any]] = {
    Json: escape_json, Hashes: escape_hashes, Ids: escape_ids, Rows: escape_rows,
}  # fmt: skip

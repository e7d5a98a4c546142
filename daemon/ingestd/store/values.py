"""Values with a quick way into a statement: whole chunks travel as one parameter, and the driver escapes slowly."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

ROWS_PER_STATEMENT = 1000


class Json:
    """JSON text on its way into a statement. JSON has no raw control characters, so two replacements escape it.

    No subclass of str: the driver would escape it as such, character by character, before it looked at its type.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def rows_json(rows: Sequence[tuple[Any, ...]] | Sequence[str]) -> list[Json]:
    """Rows, or single values, on their way into a JSON_TABLE, as many together as one statement shall take."""
    starts = range(0, len(rows), ROWS_PER_STATEMENT)
    return [Json(orjson.dumps(rows[start : start + ROWS_PER_STATEMENT]).decode()) for start in starts]


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
    escaped = value.text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


ENCODERS: dict[type, Callable[..., Any]] = {Json: escape_json, Hashes: escape_hashes, Ids: escape_ids}

"""Named SQL queries and the records of their rows: loads the .sql files, and expands the fragments they share.

A .sql file holds named queries (`-- name: find^`, see aiosql) and may hold fragments (`-- fragment: running_columns`),
each up to the next such line. `{{running_columns}}` in a query or a fragment stands for the text of that fragment.
The fragments of sql/columns.sql, one list of columns for each record, are known in every file. A file can also be a
template: `Queries("container", kind="gallery")` puts `gallery` where the file says `{{kind}}`.

Everything is expanded when a file is loaded, from constants in the source. Values of a run never become SQL text: they
are parameters (`:sync_id`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import aiosql
import orjson

T = TypeVar("T")

SQL_FOLDER = Path(__file__).parent.parent / "sql"
_SECTION = re.compile(r"^(?=-- (?:name|fragment): )", re.MULTILINE)
_FRAGMENT = re.compile(r"-- fragment: (\w+)\n")
_COMMENT = re.compile(r"^ *--.*\n?", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class Queries:
    """The named queries of sql/<name>.sql; each attribute is a function of a connection and named values.

    The queries are parsed when the first one is used. Raises ValueError for a placeholder that nothing defines.
    """

    def __init__(self, name: str, **constants: str) -> None:
        self._name, self._constants = name, constants

    def __getattr__(self, query: str) -> Any:
        if query.startswith("__"):
            raise AttributeError(query)
        return getattr(self._loaded, query)

    @property
    def names(self) -> list[str]:
        """The names of all queries of the file."""
        return [name for name in self._loaded.available_queries if not name.endswith("_cursor")]

    def explain(self, connection: Any, query: str) -> list[tuple[Any, ...]]:
        """The server's plan for the very text of a query without parameters."""
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {getattr(self, query).sql}")
            return list(cursor.fetchall())

    @cached_property
    def _loaded(self) -> Any:
        text = expanded(_read(self._name), fragments_of(_read("columns")) | self._constants, self._name)
        return aiosql.from_str(text, "pymysql", mandatory_parameters=False)


def fragments_of(text: str) -> dict[str, str]:
    """The fragments that a .sql file defines, by name, without their comments."""
    sections = [(_FRAGMENT.match(section), section) for section in _SECTION.split(text)]
    return {match[1]: _COMMENT.sub("", section).strip() for match, section in sections if match}


def expanded(text: str, known: dict[str, str], name: str) -> str:
    """The queries of a .sql file with every placeholder replaced, also those within fragments."""
    known = known | fragments_of(text)
    queries = "".join(section for section in _SECTION.split(text) if not _FRAGMENT.match(section))
    while found := _PLACEHOLDER.search(queries):
        if found[1] not in known:
            raise ValueError(f"sql/{name}.sql: unknown placeholder {found[0]}; known are {', '.join(sorted(known))}")
        queries = queries.replace(found[0], known[found[1]])
    return queries


@cache
def _read(name: str) -> str:
    return (SQL_FOLDER / f"{name}.sql").read_text()


def read_all() -> None:
    """Reads the files of all queries, for a process that runs for long.

    An upgrade may replace them meanwhile, and later the process may have no descriptor to spare.
    """
    for path in SQL_FOLDER.rglob("*.sql"):
        name = path.relative_to(SQL_FOLDER).with_suffix("")
        if name.parts[0] != "migrations":
            _read(name.as_posix())


class RowReader(Generic[T]):
    """Builds records of one dataclass from rows whose columns stand in the order of its fields.

    The types of the fields say how values are converted: enums by value, bool from 0 and 1, dict and list from JSON
    text.
    """

    def __init__(self, record: type[T]) -> None:
        self._record = record
        converters = [_converter(hint) for hint in get_type_hints(record).values()]
        self._converters = [(place, convert) for place, convert in enumerate(converters) if convert]

    def __call__(self, row: Sequence[Any]) -> T:
        values = list(row)
        for place, convert in self._converters:
            if values[place] is not None:
                values[place] = convert(values[place])
        return self._record(*values)

    def all(self, rows: Iterable[Sequence[Any]]) -> list[T]:
        return [self(row) for row in rows]

    def maybe(self, row: Sequence[Any] | None) -> T | None:
        """The record of a row; None when there is no row."""
        return None if row is None else self(row)


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    arguments = get_args(hint)
    kind = next(part for part in arguments if part is not NoneType) if NoneType in arguments else hint
    if get_origin(kind) in (dict, list):
        return orjson.loads
    return kind if isinstance(kind, type) and issubclass(kind, Enum | bool) else None

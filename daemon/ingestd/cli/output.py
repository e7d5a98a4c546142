"""How data is printed: as a table for people, or as JSON; times RFC 3339 with Z."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
import orjson

Row = dict[str, Any]


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | _TIMES))


def print_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool) -> None:
    """Prints rows; `columns` are those that the table shows, JSON has them all."""
    if as_json:
        print_json(list(rows))
        return
    cells = [list(columns), *([shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_facts(facts: Row) -> None:
    """Prints one thing, a line for each of its properties."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        click.echo(f"{key.ljust(width)}  {shown(value)}")


def shown(value: Any) -> str:
    """A value as a table shows it; what is hostile to a terminal is escaped."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)

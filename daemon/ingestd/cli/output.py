"""Prints data as tables or JSON; times are RFC 3339 with Z."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click
import orjson

from ingestd.escaping import escaped
from ingestd.records import Control

Row = dict[str, Any]

PAGE = 1000
_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def echo(text: str) -> None:
    """Prints a message for the user on standard error."""
    click.echo("\n".join(shown(line) for line in f"ingestd: {text}".split("\n")), err=True)


def print_json(value: Any) -> None:
    click.echo(_json(value, orjson.OPT_INDENT_2))


def print_json_line(value: Any) -> None:
    click.echo(_json(value))


def queued_row(job: Any, *, is_new: bool) -> Row:
    """The result of queueing a batch; `job` is its job, or what a daemon on another host said of it."""
    return {name: getattr(job, name) for name in ("state", "priority", "scope")} | {"job_id": job.id, "is_new": is_new}


def print_rows(rows: Iterable[Any], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Prints rows as they arrive. `columns` are those of the table; JSON has all.

    `empty`: the message on standard error if there are no rows.
    """
    if as_json:
        _print_json_rows(rows)
    elif not _print_table(rows, columns):
        echo(empty)


def _print_json_rows(rows: Iterable[Any]) -> None:
    """One array, one row per line."""
    opening = "["
    for page in _pages(rows):
        lines = (_json(row) for row in page)
        click.echo(opening + "\n  " + ",\n  ".join(lines), nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")


def _json(value: Any, option: int = 0) -> str:
    """JSON that is safe to show on a terminal: what could manipulate it is escaped, and means the same."""
    text = orjson.dumps(value, default=_plain, option=option | _TIMES).decode()
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def _print_table(rows: Iterable[Any], columns: Sequence[str]) -> bool:
    """Prints a table; returns False if there are no rows. Columns may become wider from page to page."""
    widths = [len(column) for column in columns]
    cells = [list(columns)]
    for page in _pages(rows):
        cells += [[shown(_value(row, column)) for column in columns] for row in page]
        widths = [max(width, *(len(row[i]) for row in cells)) for i, width in enumerate(widths)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
        click.echo("\n".join(lines))
        cells = []
    return not cells


def _value(row: Any, column: str) -> Any:
    return row[column] if isinstance(row, dict) else getattr(row, column)


def _pages(rows: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while page := list(islice(remaining, PAGE)):
        yield page


def print_facts(facts: Row) -> None:
    """Prints the properties of one record, one per line."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        click.echo(f"{key.ljust(width)}  {shown(value)}")


def shown(value: Any) -> str:
    """A value as text for a table. Control characters are escaped: they could manipulate the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    text = orjson.dumps(value, default=_plain).decode() if isinstance(value, dict | list | tuple) else str(value)
    return escaped(text)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def pause_facts(queue: Control) -> str:
    """Since when the queue is paused, by whom and why; "no" if it is not."""
    if not queue.paused:
        return "no"
    return f"since {shown(queue.paused_at)} by {queue.paused_by}: {queue.paused_reason or 'no reason given'}"

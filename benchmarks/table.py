"""How results are shown: as a table of text, and as JSON."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from figures import QUICK_SHARE, Figure
from frame import Result

from ingestd.embedded import SEARCH

PROJECT = Path(__file__).parents[1]
HEADING = ("line", "median", "spread", "goal", "verdict", "figure")


def text(results: Sequence[Result], is_quick: bool) -> Iterator[str]:
    """All that is printed."""
    yield "; ".join(f"{name} {value}" for name, value in machine().items())
    if is_quick:
        yield f"quick form: smaller than the figures say, and {QUICK_SHARE} of what is guarded is enough"
    yield from ("", *rows(results))
    yield from (f"{result.figure.key} failed: {result.problem}" for result in results if result.problem)


def rows(results: Sequence[Result]) -> Iterator[str]:
    """The lines of the table, in columns."""
    cells = [HEADING, *(row(result) for result in results)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADING))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def row(result: Result) -> tuple[str, ...]:
    goal, named = str(result.goal) if result.goal else "–", shown_name(result.figure)
    if not result.values:
        return result.figure.key, "–", "–", goal, result.verdict, named
    return result.figure.key, shown(result.median), shown_spread(result), goal, result.verdict, named


def shown_name(figure: Figure) -> str:
    return f"{figure.name} [{figure.unit}]" if figure.unit else figure.name


def shown_spread(result: Result) -> str:
    return f"{shown(min(result.values))}–{shown(max(result.values))} of {len(result.values)}"


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def machine() -> dict[str, str]:
    """Where and when the results were measured; the commit is the last one that changed the program."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": output("git", "-C", str(PROJECT), "log", "-1", "--format=%h", "--", "daemon", "sql"),
        "cores": f"{os.cpu_count()} × {processor()}",
        "memory": f"{memory} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "MariaDB": output(shutil.which("mariadbd", path=SEARCH) or "mariadbd", "--version")
        .split(" for ")[0]
        .split()[-1],
    }


def mariadb_version() -> str:
    """As in `mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64`."""
    found = output(shutil.which("mariadbd", path=SEARCH) or "mariadbd", "--version")
    return found.partition(" for ")[0].split()[-1]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def document(results: Sequence[Result]) -> dict[str, Any]:
    """All that was measured, for programs."""
    return {"machine": machine(), "figures": [as_json(result) for result in results]}


def as_json(result: Result) -> dict[str, Any]:
    figure = result.figure
    return {
        "key": figure.key, "line": figure.line, "name": figure.name, "unit": figure.unit,
        "values": result.values, "median": result.median if result.values else None,
        "goal": str(result.goal) if result.goal else None, "verdict": result.verdict,
        "seconds": round(result.seconds, 1),
    }  # fmt: skip

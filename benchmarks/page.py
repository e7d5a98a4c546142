"""Keeps the tables of docs/performance.md in step with the figures and with what was measured."""

from collections.abc import Iterator, Sequence

from figures import FIGURES, Figure
from frame import Result
from table import PROJECT, machine, shown, shown_name, shown_spread

PAGE = PROJECT / "docs" / "performance.md"
BEGIN, END = "<!-- {} -->", "<!-- end of {} -->"
UNMEASURED = ("–", "–", "not measured", "–")
HEADS = {
    "measured": "| line | figure | goal | median | spread | verdict | measured |\n|---|---|---|---|---|---|---|",
    "guarded": "| line | compared with | CI fails |\n|---|---|---|",
}


def update(results: Sequence[Result]) -> None:
    """Rewrites the rows of what was measured; the others keep what they say."""
    text = PAGE.read_text(encoding="utf-8")
    kept = {cells[0]: tuple(cells[3:]) for cells in cells_of(text, "measured")}
    kept |= {result.figure.key: measured(result) for result in results if result.values}
    rows = [row(figure, kept.get(figure.key, UNMEASURED)) for figure in FIGURES]
    text = replaced(text, "measured", rows)
    PAGE.write_text(replaced(text, "guarded", list(guard_rows())), encoding="utf-8")


def measured(result: Result) -> tuple[str, ...]:
    where = machine()
    return shown(result.median), shown_spread(result), result.verdict, f"{where['date']}, {where['commit']}"


def row(figure: Figure, cells: tuple[str, ...]) -> str:
    return f"| {' | '.join((figure.key, shown_name(figure), str(figure.goal or '–'), *cells))} |"


def guard_rows() -> Iterator[str]:
    for figure in FIGURES:
        if figure.guarded:
            what = "the goal" if figure.guarded == figure.goal else "what was reached"
            sign = "above" if figure.guarded.is_upper else "below"
            yield f"| {figure.key} | {what}, {figure.guarded} | {sign} {figure.guarded.eased().limit:.4g} |"


def cells_of(text: str, name: str) -> list[list[str]]:
    """The cells of the rows between two marks."""
    rows = text.partition(BEGIN.format(name))[2].partition(END.format(name))[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def replaced(text: str, name: str, rows: list[str]) -> str:
    before, begin, rest = text.partition(BEGIN.format(name))
    _, end, after = rest.partition(END.format(name))
    return "\n".join([f"{before}{begin}", HEADS[name], *rows, f"{end}{after}"])

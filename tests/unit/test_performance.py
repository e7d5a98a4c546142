"""docs/performance.md and the benchmarks agree about all figures."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from common import Bench
from figures import FIGURES, Figure, Goal, at_least, at_most
from frame import Benchmark, Form, Result, Value, results
from page import PAGE, cells_of, guard_rows, row

from ingestd.embedded import EmbeddedMariaDB

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MEASURES = re.compile(r"^@measures\(([^)]*)\)", re.MULTILINE)
LINES = [str(number) for number in range(1, 22)]
"""of the table of goals"""
OTHERS = ["pages", "scrape", "slow-clients"]

every_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)


def measured_keys() -> list[str]:
    sources = [path.read_text() for path in sorted(BENCHMARKS.glob("bench_*.py"))]
    return [
        key for source in sources for arguments in MEASURES.findall(source) for key in re.findall(r'"(.+?)"', arguments)
    ]


def test_every_line_has_figures_in_order() -> None:
    lines = [figure.line for figure in FIGURES]
    assert list(dict.fromkeys(lines)) == [*LINES, *OTHERS]
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)


def test_every_figure_is_measured_by_one_benchmark() -> None:
    assert sorted(measured_keys()) == sorted(figure.key for figure in FIGURES)


@every_figure
def test_the_page_shows_each_figure_with_its_goal(figure: Figure) -> None:
    (cells,) = (cells for cells in shown() if cells[0] == figure.key)
    assert row(figure, tuple(cells[3:])) == f"| {' | '.join(cells)} |"


@every_figure
def test_verdicts_on_the_page_are_true(figure: Figure) -> None:
    (_, _, _, median, spread, verdict, when) = next(cells for cells in shown() if cells[0] == figure.key)
    if median == "–":
        assert (spread, verdict, when) == ("–", "not measured", "–")
    elif figure.goal is None:
        assert verdict == "no goal"
    else:
        value = float(median.replace(",", ""))
        # A rounded value may be that of the goal on both sides of it.
        assert value == figure.goal.limit or verdict == ("met" if figure.goal.is_met_by(value) else "MISSED")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d, [0-9a-f]{7,}", when)


def test_the_page_names_what_ci_guards() -> None:
    rows = [f"| {' | '.join(cells)} |" for cells in cells_of(PAGE.read_text(), "guarded")]
    assert rows == list(guard_rows())


@every_figure
def test_what_is_guarded_is_the_goal_or_less(figure: Figure) -> None:
    goal, guarded = figure.goal, figure.guarded
    assert goal or guarded
    assert goal is None or guarded is None or guarded == goal or not goal.is_met_by(guarded.limit)


@pytest.mark.parametrize(
    ("goal", "value", "is_met", "is_enough"),
    [
        (at_least(0.5), 0.5, True, True),
        (at_least(0.5), 0.41, False, True),
        (at_least(0.5), 0.39, False, False),
        (at_most(20), 20, True, True),
        (at_most(20), 24.9, False, True),
        (at_most(20), 25.1, False, False),
    ],
)
def test_the_quick_form_demands_less(goal: Goal, value: float, is_met: bool, is_enough: bool) -> None:
    assert goal.is_met_by(value) == is_met
    assert goal.eased().is_met_by(value) == is_enough


def result(*values: float, is_quick: bool, goal: Goal | None, guarded: Goal | None = None) -> Result:
    return Result(Figure("1a", "a figure", goal, guarded=guarded), is_quick, list(values))


def test_the_median_decides_and_spares_what_is_not_guarded() -> None:
    assert result(0.1, 0.9, 0.9, is_quick=False, goal=at_least(0.9)).verdict == "met"
    assert result(0.1, 0.1, 0.9, is_quick=False, goal=at_least(0.9)).is_bad
    assert not result(0.1, is_quick=True, goal=at_least(0.9)).is_bad
    assert result(0.7, is_quick=True, goal=None, guarded=at_least(0.9)).is_bad
    assert result(0.8, is_quick=True, goal=None, guarded=at_least(0.9)).verdict == "met"


def test_a_benchmark_that_fails_keeps_what_it_measured_and_fails_the_run(bench: Bench) -> None:
    def measure(world: Bench, form: Form) -> Iterator[Value]:
        yield Value("6a", 30.0)
        raise ValueError("no more")

    first, second = results(Benchmark(("6a", "6b"), True, measure), bench, Form(is_quick=False))
    assert (first.values, second.values, second.verdict) == ([30.0], [], "FAILED")
    assert first.is_bad
    assert second.is_bad


@pytest.fixture
def bench() -> Bench:
    """Never used: nothing runs."""
    return Bench(EmbeddedMariaDB(Path("nowhere")), Path("nowhere"))


def shown() -> list[list[str]]:
    return cells_of(PAGE.read_text(encoding="utf-8"), "measured")

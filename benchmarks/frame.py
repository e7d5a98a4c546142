"""What a benchmark is: a function that yields values of figures, one for each round; and what came of running it."""

import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from common import Bench, bench
from figures import FIGURES, Figure, Goal


class Value(NamedTuple):
    """The value of a figure in one round."""

    key: str
    value: float


@dataclass(frozen=True, slots=True)
class Form:
    """The full form, or the quick one, which CI runs: smaller sizes and fewer rounds."""

    is_quick: bool
    rounds_wanted: int = 0

    def of(self, full: int, quick: int) -> int:
        return quick if self.is_quick else full

    def rounds(self, full: int, quick: int = 3) -> int:
        return self.rounds_wanted or self.of(full, quick)


Measure = Callable[[Bench, Form], Iterator[Value]]
"""Gets an empty database and mount, and leaves no process behind."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Measures the figures `keys`; only some have a quick form."""

    keys: tuple[str, ...]
    has_quick_form: bool
    measure: Measure

    @property
    def lines(self) -> set[str]:
        return {figure.line for figure in FIGURES if figure.key in self.keys}

    @property
    def is_guarded(self) -> bool:
        return any(figure.guarded for figure in FIGURES if figure.key in self.keys)


BENCHMARKS: list[Benchmark] = []
"""Those of all imported modules."""


def measures(*keys: str, quick: bool = False) -> Callable[[Measure], Measure]:
    """Registers a function as the benchmark of these figures."""

    def register(measure: Measure) -> Measure:
        BENCHMARKS.append(Benchmark(keys, quick, measure))
        return measure

    return register


@dataclass(frozen=True, slots=True)
class Result:
    """The values of one figure, or why there are none."""

    figure: Figure
    is_quick: bool
    values: list[float] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def goal(self) -> Goal | None:
        """What the median is compared with: the quick form allows for its sizes and for a noisy machine."""
        if not self.is_quick:
            return self.figure.goal
        return self.figure.guarded.eased() if self.figure.guarded else None

    @property
    def verdict(self) -> str:
        if not self.values:
            return "FAILED" if self.problem else "not measured"
        if self.goal is None:
            return "not guarded" if self.is_quick else "no goal"
        return "met" if self.goal.is_met_by(self.median) else "MISSED"

    @property
    def is_bad(self) -> bool:
        return bool(self.problem) or self.verdict == "MISSED"


def run(benchmarks: Iterable[Benchmark], form: Form) -> Iterator[Result]:
    """Runs benchmarks one after another; those in quick form share a server, since its start takes seconds."""
    if form.is_quick:
        with bench() as world:
            for benchmark in benchmarks:
                world.clear()
                yield from results(benchmark, world, form)
    else:
        for benchmark in benchmarks:
            with bench() as world:
                yield from results(benchmark, world, form)


def results(benchmark: Benchmark, world: Bench, form: Form) -> Iterator[Result]:
    """The results of one benchmark; an error concerns its figures alone."""
    values: dict[str, list[float]] = {key: [] for key in benchmark.keys}
    problem, begun = "", time.monotonic()
    note(f"measuring {', '.join(benchmark.keys)}")
    try:
        for key, value in benchmark.measure(world, form):
            values[key].append(value)
            note(f"{key}: {value:.4g}")
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    seconds = time.monotonic() - begun
    for figure in FIGURES:
        if figure.key in values:
            yield Result(figure, form.is_quick, values[figure.key], problem, seconds)


def note(text: str) -> None:
    """Reports progress, away from the table."""
    print(f"  {text}", file=sys.stderr, flush=True)

"""Measures the figures of the project and prints one table with goals and verdicts. Run it as `make bench`.

Every benchmark runs the real daemon in its default settings on a private MariaDB with fixed settings and full
durability. The exit status is 1 if a goal is missed or a benchmark fails.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from figures import FIGURES
from frame import BENCHMARKS, Benchmark, Form, Result, note, run
from page import update
from table import document, text


def main() -> int:
    options = parse_options()
    for file in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(file.stem)
    chosen = choose(options.only, options.quick)
    form = Form(options.quick, options.rounds)
    found = in_order(list(until_interrupted(run(chosen, form))), options.only, options.quick)
    if options.update and not options.quick:
        update(found)
    print(json.dumps(document(found), indent=2) if options.json else "\n".join(text(found, options.quick)))
    return int(any(result.is_bad for result in found))


def until_interrupted(results: Iterator[Result]) -> Iterator[Result]:
    """All of them; after Ctrl-C, those that there are."""
    try:
        yield from results
    except KeyboardInterrupt:
        note("interrupted")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="lines of the table, such as 7, or names, such as pages; without, all")
    parser.add_argument("--quick", action="store_true", help="the quick form, as in CI: 2 minutes, less is demanded")
    parser.add_argument("--rounds", type=int, default=0, help="instead of the usual number of rounds")
    parser.add_argument("--json", action="store_true", help="print all values as JSON")
    parser.add_argument("--update", action="store_true", help="write what was measured to docs/performance.md")
    return parser.parse_args()


def choose(only: list[str], is_quick: bool) -> list[Benchmark]:
    """The benchmarks of some lines, in the order of the table; or all, or in quick form those that CI guards."""
    unknown = set(only) - {figure.line for figure in FIGURES}
    if unknown:
        sys.exit(f"there is no such line: {', '.join(sorted(unknown))}")
    order = [figure.key for figure in FIGURES]
    chosen = [one for one in BENCHMARKS if (one.lines & set(only) if only else one.is_guarded or not is_quick)]
    return sorted(
        (one for one in chosen if one.has_quick_form or not is_quick), key=lambda one: order.index(one.keys[0])
    )


def in_order(found: list[Result], only: list[str], is_quick: bool) -> list[Result]:
    """One result for each figure that was asked for, in the order of the table, also where nothing measures it."""
    by_key = {result.figure.key: result for result in found}
    wanted = [figure for figure in FIGURES if not only or figure.line in only]
    shown = [by_key.get(figure.key, Result(figure, is_quick)) for figure in wanted]
    return [result for result in shown if result.figure.key in by_key or not is_quick]


if __name__ == "__main__":
    sys.exit(main())

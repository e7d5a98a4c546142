"""Checks PromQL expressions against the known metrics."""

import re
from collections.abc import Callable, Iterator, Set

import promql_parser
from promql_parser import AggregateExpr, Call, Expr, MatrixSelector, VectorSelector

from monitoring.catalogue import Catalogue

VARIABLES = {"$__rate_interval": "1m", "$job": "ingestd", "$instance": ".*"}
"""Variables of Grafana with a possible value."""
OVER_COUNTERS = ("rate", "increase")

Path = tuple[Expr, ...]


def prepared(expression: str) -> str:
    """A panel expression as Grafana sends it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"an unknown variable in {expression}"
    return expression


def selectors(expression: str) -> list[VectorSelector]:
    """Every selector in an expression."""
    return [selector for selector, _ in _paths(expression)]


def problems(expression: str, catalogue: Catalogue, recorded: Set[str] = frozenset()) -> list[str]:
    """Problems as sentences; `recorded` are the names of recording rules."""
    return [
        f"{selector.name} {problem}"
        for selector, above in _paths(expression)
        for problem in _problems(selector, above, catalogue, recorded)
    ]


def _problems(selector: VectorSelector, above: Path, catalogue: Catalogue, recorded: Set[str]) -> Iterator[str]:
    name = selector.name
    if name is None or (name not in catalogue and name not in recorded):
        yield "does not exist"
    if name in catalogue.counters and not _is_in_rate(above):
        yield "is a counter without rate or increase"
    if name in catalogue.database_wide and _aggregation(above) != "max":
        yield f"is reported by every host, but aggregated with {_aggregation(above)} instead of max"


def _is_in_rate(above: Path) -> bool:
    """Whether the selector is a range inside rate or increase."""
    if len(above) < 2 or not isinstance(above[-1], MatrixSelector):
        return False
    call = above[-2]
    return isinstance(call, Call) and call.func.name in OVER_COUNTERS


def _aggregation(above: Path) -> str:
    """The innermost aggregation."""
    return next((str(expr.op) for expr in reversed(above) if isinstance(expr, AggregateExpr)), "nothing")


def _paths(expression: str) -> list[tuple[VectorSelector, Path]]:
    """Each selector with its enclosing expressions, outermost first."""
    found: list[tuple[VectorSelector, Path]] = []
    above: list[Expr] = []

    def enter(expr: Expr) -> None:
        if isinstance(expr, VectorSelector):
            found.append((expr, tuple(above)))
        above.append(expr)

    def leave(expr: Expr) -> None:
        above.pop()

    promql_parser.walk(promql_parser.parse(prepared(expression)), _on(enter), _on(leave))
    return found


def _on(visit: Callable[[Expr], None]) -> Callable[[Expr], bool | None]:
    """Wraps a visitor: the walk stops at False and continues at None."""

    def visited(expr: Expr) -> bool | None:
        visit(expr)
        return None

    return visited


# mutations that the checks must detect


def with_sum_for_max(expression: str) -> str:
    return re.sub(r"\bmax\b(?=\s*(by\b|\())", "sum", expression)


def with_renamed(expression: str, name: str) -> str:
    return re.sub(rf"\b{re.escape(name)}\b", f"{name}_v2", expression)


def without_rate(expression: str) -> str:
    """The same expression without rate and increase."""
    return re.sub(r"\b(?:rate|increase)\s*\(([^][()]+)\[[^]]+\]\)", r"(\1)", expression)

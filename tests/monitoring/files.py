"""Reads the monitoring files of contrib/ and docs/."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
GRAFANA, PROMETHEUS = PROJECT / "contrib" / "grafana", PROJECT / "contrib" / "prometheus"
BUILD, DASHBOARD = GRAFANA / "build.py", GRAFANA / "ingestd-overview.json"
RULES, CONFIG = PROMETHEUS / "ingestd.rules.yml", PROMETHEUS / "prometheus.yml"
RULE_TESTS = PROJECT / "tests" / "monitoring" / "ingestd.rules.test.yml"
RUNBOOKS = PROJECT / "docs" / "runbooks.md"
COLUMNS = 24


@dataclass(frozen=True)
class Rule:
    """An alert or a recording rule."""

    name: str
    expression: str
    is_alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class Query:
    """A query of a panel; `labels` are in its legend, `coloured` are series names with a colour."""

    panel: str
    kind: str
    expression: str
    labels: frozenset[str]
    coloured: frozenset[str]


def read_yaml(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


def rules() -> list[Rule]:
    listed = [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]
    return [
        Rule(
            rule.get("alert") or rule["record"],
            rule["expr"],
            "alert" in rule,
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for rule in listed
    ]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.is_alert]


def recorded() -> frozenset[str]:
    return frozenset(rule.name for rule in rules() if not rule.is_alert)


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    """All panels except row headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    return [_query(panel, target) for panel in panels() for target in panel["targets"]]


def _query(panel: dict[str, Any], target: dict[str, Any]) -> Query:
    labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
    if panel["type"] == "table":
        grouped = re.search(r"by \(([^)]+)\)", target["expr"])
        assert grouped is not None, "a table groups by its label columns"
        labels = grouped[1].split(", ")
    coloured = frozenset(override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"])
    return Query(panel["title"], panel["type"], target["expr"], frozenset(labels), coloured)


def expressions() -> dict[str, str]:
    """Every expression of rules, panels and annotations, by its place."""
    of_rules = {f"rule {rule.name}": rule.expression for rule in rules()}
    of_panels = {f"panel {query.panel} {number}": query.expression for number, query in enumerate(queries())}
    annotations = {f"annotation {made['name']}": made["expr"] for made in dashboard()["annotations"]["list"]}
    return {**of_rules, **of_panels, **annotations}


def anchors(text: str) -> set[str]:
    """The heading anchors of a Markdown text."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def misplaced(placed: list[dict[str, Any]]) -> list[str]:
    """Panels outside the grid, and panels that overlap."""
    taken: dict[tuple[int, int], str] = {}
    found: list[str] = []
    for panel in placed:
        at, title = panel["gridPos"], panel["title"]
        if at["x"] < 0 or at["x"] + at["w"] > COLUMNS:
            found.append(f"{title} is out of the grid")
        cells = [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        others = {taken[cell] for cell in cells if cell in taken}
        found += [f"{title} overlaps {other}" for other in sorted(others)]
        taken.update(dict.fromkeys(cells, title))
    return found

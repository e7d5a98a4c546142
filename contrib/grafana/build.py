"""Generates the dashboard ingestd-overview.json. With --check, only verifies that the file is up to date.

Do not edit the JSON by hand: change these scripts and run this one again.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from panels import CHOSEN, RUNBOOKS, SOURCE, Panel
from rows_hosts import database_and_retries, discovery_and_mount, hosts
from rows_now import now
from rows_work import OPERATOR, items_by_decision, queue_and_wait, running_jobs

FILE = Path(__file__).with_name("ingestd-overview.json")
COLUMNS = 24

ROWS: dict[str, Callable[[], list[Panel]]] = {
    "Now": now,
    "Queue and wait": queue_and_wait,
    "Items by decision": items_by_decision,
    "Running jobs": running_jobs,
    "Discovery and mount": discovery_and_mount,
    "Database and retries": database_and_retries,
    "Hosts": hosts,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is out of date")
    parser.add_argument(
        "file", type=Path, nargs="?", default=FILE, help="the dashboard file (default: next to this script)"
    )
    options = parser.parse_args()
    text = json.dumps(without_placement(encoded(dashboard())), indent=2, ensure_ascii=False) + "\n"
    if not options.check:
        options.file.write_text(text, encoding="utf-8")
    elif not options.file.is_file() or options.file.read_text(encoding="utf-8") != text:
        print(f"{options.file} is out of date: run {Path(__file__).name} again", file=sys.stderr)
        return 1
    return 0


def encoded(made: model.Dashboard) -> Any:
    return json.loads(json.dumps(made, cls=JSONEncoder))


def without_placement(value: Any) -> Any:
    """A copy without `placement`, with which the SDK would hide every link in a menu."""
    if isinstance(value, list):
        return [without_placement(part) for part in value]
    if isinstance(value, dict):
        return {key: without_placement(part) for key, part in value.items() if key != "placement"}
    return value


def dashboard() -> model.Dashboard:
    builder = (
        build.Dashboard("ingestd")
        .uid("ingestd-overview")
        .description("Import of bundles into the media library: one database and its hosts.")
        .tags(["ingestd"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(variables())
        .annotation(restarts())
    )
    for link in links():
        builder.link(link)
    made = builder.build()
    made.panels = list(laid_out())
    return made


def variables() -> list[Builder[model.VariableModel]]:
    """Data source, database (one Prometheus job each), hosts, and the addresses for links."""
    every = model.VariableOption(selected=True, text="All", value="$__all")
    job = build.QueryVariable("job").label("Database (job)").datasource(SOURCE)
    instance = build.QueryVariable("instance").label("Host").datasource(SOURCE)
    return [
        build.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        job.query(_values("ingestd_build_info", "job"))
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(model.VariableSort.ALPHABETICAL_ASC),
        # From `up`, so that a host that is down can be selected; .* so that "All" includes former hosts.
        instance.query(_values('up{job="$job"}', "instance"))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(every),
        text_box("operator", "Address of the operator pages", "localhost:8640"),
        text_box("runbooks", "Address of the runbooks", "docs/runbooks.md"),
    ]


def _values(metric: str, label: str) -> dict[str, object]:
    return {"query": f"label_values({metric}, {label})", "refId": f"{label}s"}


def text_box(name: str, label: str, value: str) -> build.TextBoxVariable:
    chosen = model.VariableOption(selected=True, text=value, value=value)
    return build.TextBoxVariable(name).label(label).default_value(value).current(chosen).options([chosen])


def restarts() -> build.AnnotationQuery:
    """A line at each start of a daemon. The value is the time; the range covers the gap of a restart."""
    started = f"process_start_time_seconds{CHOSEN}"
    return (
        build.AnnotationQuery()
        .name("Restarts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("purple")
        .expr(f"1000 * {started} and changes({started}[10m]) > 0")
        .step("60s")
        .use_value_for_time(True)
        .title_format("ingestd started")
        .text_format("{{instance}}")
        .tag_keys("instance")
    )


def links() -> Iterable[build.DashboardLink]:
    pages = {"Runbooks": RUNBOOKS, "Operator pages": f"{OPERATOR}/"}
    for title, url in pages.items():
        link = build.DashboardLink(title).type(model.DashboardLinkType.LINK).icon("external link")
        yield link.url(url).target_blank(True)


def laid_out() -> Iterable[model.Panel | model.RowPanel]:
    """All rows and panels with ids and grid positions, from left to right, wrapping full lines."""
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        place = model.GridPos(h=1, w=COLUMNS, x=0, y=top)
        yield build.Row(title).id(number).grid_pos(place).build()
        left, top, height = 0, top + 1, 0
        for builder in panels():
            number, panel = number + 1, builder.build()
            assert panel.grid_pos is not None, "every panel has a size"
            if left + panel.grid_pos.w > COLUMNS:
                left, top, height = 0, top + height, 0
            panel.id_val, panel.grid_pos.x, panel.grid_pos.y = number, left, top
            left, height = left + panel.grid_pos.w, max(height, panel.grid_pos.h)
            yield panel
        top += height


if __name__ == "__main__":
    sys.exit(main())

"""The dashboard: what its script makes, whole, in order, and with every link leading somewhere."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from monitoring.files import (
    BUILD,
    CONFIG,
    DASHBOARD,
    GRAFANA,
    RUNBOOKS,
    alerts,
    anchors,
    dashboard,
    misplaced,
    panels,
    queries,
    read_yaml,
)
from support.s3 import give_up

ROWS = ["Now", "Queue and wait", "Items by decision", "Running jobs"]
ROWS += ["Discovery and mount", "Database and retries", "Hosts"]
every_panel = pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel['id']} {panel['title']}")


def build(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    if find_spec("grafana_foundation_sdk") is None:
        give_up("the Python package grafana-foundation-sdk is missing")
    command = [sys.executable, str(BUILD), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_committed_file_is_what_the_script_makes() -> None:
    checked = build("--check")
    assert checked.returncode == 0, checked.stderr


def test_check_finds_out_a_file_that_was_edited_or_is_missing(tmp_path: Path) -> None:
    edited = tmp_path / "edited.json"
    edited.write_text(DASHBOARD.read_text(encoding="utf-8").replace("max by (state)", "sum by (state)"))
    before = edited.read_text(encoding="utf-8")
    checked = build("--check", edited)
    assert checked.returncode == 1
    assert "run it again" in checked.stderr
    assert edited.read_text(encoding="utf-8") == before, "--check writes nothing"
    assert build("--check", tmp_path / "missing.json").returncode == 1
    assert build(edited).returncode == 0
    assert edited.read_text(encoding="utf-8") == DASHBOARD.read_text(encoding="utf-8")


def test_rows_come_in_the_order_in_which_one_looks() -> None:
    assert [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"] == ROWS
    tops = [panel["gridPos"]["y"] for panel in dashboard()["panels"]]
    assert tops == sorted(tops)


def test_no_panel_covers_another_and_no_number_is_used_twice() -> None:
    placed = dashboard()["panels"]
    assert misplaced(placed) == []
    assert len({panel["id"] for panel in placed}) == len(placed)


@pytest.mark.parametrize("number", range(len(panels())))
def test_any_panel_that_is_moved_is_found_out(number: int) -> None:
    placed = panels()
    other = placed[number - 1]["gridPos"]
    placed[number]["gridPos"] = {**placed[number]["gridPos"], "x": other["x"], "y": other["y"]}
    assert misplaced(placed)


@every_panel
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith("."), "a sentence"
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] in ("table", "state-timeline") or defaults["unit"]
    assert panel["targets"]
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    if panel["type"] == "stat":
        assert defaults["mappings"] or defaults["thresholds"]["steps"]
        assert all(target["instant"] for target in panel["targets"]), "nothing that has gone since"
    if panel["type"] == "state-timeline":
        assert defaults["mappings"]


@pytest.mark.parametrize(
    ("name", "colour"),
    [("failed", "red"), ("skipped", "#8e8e8e"), ("created", "green"), ("deferred", "yellow"), ("running", "blue")],
)
def test_one_word_has_one_colour(name: str, colour: str) -> None:
    overrides = [override for panel in panels() for override in panel["fieldConfig"]["overrides"]]
    named = [override["properties"] for override in overrides if override["matcher"]["options"] == name]
    assert named
    fixed = {"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}
    assert all(fixed in properties for properties in named)


def test_links_lead_to_runbooks_that_exist() -> None:
    known = anchors(RUNBOOKS.read_text(encoding="utf-8"))
    urls = [link["url"] for panel in panels() for link in panel["links"]]
    linked = {url.removeprefix("${runbooks:raw}#") for url in urls}
    assert linked <= known
    assert linked == {alert.name.lower() for alert in alerts()}, "each alert is linked from what shows its cause"
    assert {link["url"] for link in dashboard()["links"]} == {"${runbooks:raw}", "http://${operator:raw}/"}


def test_running_jobs_lead_to_the_operators_page() -> None:
    (table,) = (panel for panel in panels() if panel["type"] == "table")
    links = [
        link["url"]
        for override in table["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": "sync_id"}
        for made in override["properties"]
        for link in made["value"]
    ]
    assert links == ["http://${operator:raw}/batches/${__value.raw}"]


def test_every_variable_that_is_used_can_be_chosen() -> None:
    chosen = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert chosen == ["datasource", "job", "instance", "operator", "runbooks"]
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text(encoding="utf-8")))
    assert used - {"__rate_interval", "__value", "__all"} == set(chosen)


def test_restarts_are_marked_where_the_process_began() -> None:
    (restarts,) = dashboard()["annotations"]["list"]
    assert "changes(process_start_time_seconds" in restarts["expr"]
    assert restarts["useValueForTime"] is True
    assert restarts["expr"].startswith("1000 * "), "Grafana wants milliseconds"


def test_provisioning_fits_the_dashboard_and_the_example() -> None:
    (source,) = read_yaml(GRAFANA / "provisioning" / "datasources" / "ingestd.yml")["datasources"]
    (provider,) = read_yaml(GRAFANA / "provisioning" / "dashboards" / "ingestd.yml")["providers"]
    (variable,) = (made for made in dashboard()["templating"]["list"] if made["type"] == "datasource")
    assert source["type"] == variable["query"]
    assert source["jsonData"]["timeInterval"] == read_yaml(CONFIG)["global"]["scrape_interval"]
    assert provider["type"] == "file"
    assert provider["options"]["path"].endswith(provider["name"])


def test_uid_is_stable_and_the_file_is_no_dump_of_somebodys_grafana() -> None:
    made = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert made["uid"] == DASHBOARD.stem
    assert not {"id", "version"} & made.keys()
    assert len(queries()) >= len(panels())

"""The rules: valid, each alert tested in both directions and with a runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.files import CONFIG, PROMETHEUS, RULE_TESTS, RULES, RUNBOOKS, alerts, anchors, read_yaml, rules
from monitoring.programs import promtool

PREFIX = "docs/runbooks.md#"
SEVERITIES = {"critical", "warning"}
NAMES = [alert.name for alert in alerts()]


def test_promtool_accepts_the_rules_and_the_example_configuration() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout
    example = promtool("check", "config", CONFIG)
    assert example.returncode == 0, example.stderr


def test_the_alert_cases_pass() -> None:
    tested = promtool("test", "rules", RULE_TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", NAMES)
def test_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    cases = [case for test in read_yaml(RULE_TESTS)["tests"] for case in test["alert_rule_test"]]
    fires = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert}
    assert fires == {True, False}


@pytest.mark.parametrize("always", [True, False])
def test_cases_detect_alerts_that_always_or_never_fire(always: bool, tmp_path: Path) -> None:
    """Each alert, mutated, fails at least one case."""
    mutated = read_yaml(RULES)
    for rule in (rule for group in mutated["groups"] for rule in group["rules"] if "alert" in rule):
        rule["expr"] = "vector(1)" if always else "vector(0) > 1"
    tested = _test_with(mutated, tmp_path)
    assert tested.returncode != 0
    failed = set(re.findall(r"alertname: (\w+)", tested.stdout + tested.stderr))
    assert failed == set(NAMES)


def _test_with(mutated: dict[str, Any], folder: Path) -> Any:
    (folder / RULES.name).write_text(yaml.safe_dump(mutated), encoding="utf-8")
    cases = {**read_yaml(RULE_TESTS), "rule_files": [RULES.name]}
    (folder / "cases.yml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    return promtool("test", "rules", folder / "cases.yml")


def test_names_of_rules_are_unique() -> None:
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_alert_has_a_severity_and_a_runbook(alert: Any) -> None:
    assert alert.labels.keys() == {"severity"}
    assert alert.labels["severity"] in SEVERITIES
    assert alert.annotations.keys() == {"summary", "runbook_url"}
    assert alert.annotations["runbook_url"] == PREFIX + alert.name.lower()


def test_runbook_headings_match_the_alerts() -> None:
    text = RUNBOOKS.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(NAMES)
    assert {name.lower() for name in NAMES} <= anchors(text)


@pytest.mark.parametrize("alert", NAMES)
def test_runbook_says_what_to_do(alert: str) -> None:
    section = re.search(
        rf"^## {alert}\n(.+?)(?=^## |\Z)", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert section is not None
    assert re.search(r"^1\. ", section[1], re.MULTILINE), "steps, to be taken in order"
    assert re.search(r"`(?:time )?(?:ingestd|journalctl|systemctl) ", section[1]), "a command that can be copied"


def test_only_one_prefix_has_to_be_replaced() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert text.count(PREFIX) == len(NAMES)
    (command,) = re.findall(r"sed 's\|(.+?)\|(.+?)\|'", text)
    published = re.sub(command[0], command[1], text)
    assert published.count(command[1]) == len(NAMES) + 1, "each, and the command itself"
    assert PREFIX not in published


def test_rules_and_example_use_the_same_job() -> None:
    (scraped,) = read_yaml(CONFIG)["scrape_configs"]
    named = {job for rule in rules() for job in re.findall(r'job="([^"]+)"', rule.expression)}
    assert named == {scraped["job_name"]}
    assert read_yaml(CONFIG)["rule_files"] == [RULES.name]
    assert sorted(path.name for path in PROMETHEUS.iterdir()) == sorted([CONFIG.name, RULES.name])

"""The checks of this package detect errors: each is tried with a wrong input."""

import pytest

from monitoring.catalogue import Catalogue, catalogue_of
from monitoring.expressions import prepared, problems, selectors, with_renamed, with_sum_for_max, without_rate
from monitoring.files import anchors, misplaced

NOT_MAX = "ingestd_paused is reported by every host, but aggregated with {} instead of max"
EXPOSITION = """
# HELP ingestd_paused Whether the queue is paused. Database-wide: every host answers the same.
# TYPE ingestd_paused gauge
ingestd_paused 0.0
# HELP ingestd_job_progress_ratio How much of a running job is done. Database-wide: every host answers the same.
# TYPE ingestd_job_progress_ratio gauge
# HELP ingestd_mount_up Whether the mount was there.
# TYPE ingestd_mount_up gauge
ingestd_mount_up 1.0
# HELP ingestd_items_total Items decided.
# TYPE ingestd_items_total counter
ingestd_items_total{decision="created"} 3.0
# HELP ingestd_wait_seconds Waits.
# TYPE ingestd_wait_seconds histogram
ingestd_wait_seconds_bucket{le="+Inf"} 1.0
ingestd_wait_seconds_count 1.0
ingestd_wait_seconds_sum 1.0
"""


@pytest.fixture
def catalogue() -> Catalogue:
    return catalogue_of(EXPOSITION)


def test_the_catalogue_includes_metrics_without_samples(catalogue: Catalogue) -> None:
    histogram = {"ingestd_wait_seconds_bucket", "ingestd_wait_seconds_count", "ingestd_wait_seconds_sum"}
    assert catalogue.counters == {"ingestd_items_total", *histogram}
    assert catalogue.gauges == {"up", "ingestd_paused", "ingestd_job_progress_ratio", "ingestd_mount_up"}
    assert catalogue.database_wide == {"ingestd_paused", "ingestd_job_progress_ratio"}


@pytest.mark.parametrize(
    "expression",
    [
        'max(ingestd_paused{job="$job"}) == 1',
        "sum by (decision) (rate(ingestd_items_total[$__rate_interval]))",
        "histogram_quantile(0.5, sum by (le) (rate(ingestd_wait_seconds_bucket[5m])))",
        'sum(max by (job) (ingestd_paused)) + min(ingestd_mount_up) > on () up{instance=~"$instance"}',
        "max_over_time(job:ingestd_paused:max[1h])",
    ],
)
def test_valid_expressions_pass(expression: str, catalogue: Catalogue) -> None:
    assert problems(expression, catalogue, {"job:ingestd_paused:max"}) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("ingestd_mount_upp", "ingestd_mount_upp does not exist"),
        ("job:ingestd_paused:min == 1", "job:ingestd_paused:min does not exist"),
        ('{job="ingestd"}', "None does not exist"),
        ("sum(ingestd_items_total)", "ingestd_items_total is a counter without rate or increase"),
        ("delta(ingestd_items_total[5m])", "ingestd_items_total is a counter without rate or increase"),
        (
            "histogram_quantile(0.5, sum by (le) (ingestd_wait_seconds_bucket))",
            "ingestd_wait_seconds_bucket is a counter without rate or increase",
        ),
        ("ingestd_paused", NOT_MAX.format("nothing")),
        ("sum(ingestd_paused)", NOT_MAX.format("sum")),
        ("max(sum by (job) (ingestd_paused))", NOT_MAX.format("sum")),
        ("max_over_time(ingestd_paused[1h])", NOT_MAX.format("nothing")),
    ],
)  # fmt: skip
def test_invalid_expressions_are_detected(expression: str, problem: str, catalogue: Catalogue) -> None:
    assert problems(expression, catalogue, {"job:ingestd_paused:max"}) == [problem]


def test_both_operands_are_checked(catalogue: Catalogue) -> None:
    assert len(problems("ingestd_one + ingestd_two and on (job) (ingestd_three > 1)", catalogue)) == 3


def test_unknown_variables_are_detected() -> None:
    with pytest.raises(AssertionError, match="unknown variable"):
        prepared('up{job="$jobs", host="$host"}')


def test_selectors_keep_their_matchers() -> None:
    found = selectors('sum(rate(a_total{reason="poison"}[5m])) > on (job) b')
    assert [str(selector) for selector in found] == ['a_total{reason="poison"}', "b{}"]


def test_mutations_change_the_expression() -> None:
    assert with_sum_for_max("max by (a) (b:max) / max(c)") == "sum by (a) (b:max) / sum(c)"
    assert with_renamed("up + up_too", "up") == "up_v2 + up_too"
    assert without_rate('sum (rate(a_total{b="c"}[5m])) > 0') == 'sum ((a_total{b="c"})) > 0'


def panel(title: str, x: int, y: int, w: int = 8, h: int = 8) -> dict[str, object]:
    return {"title": title, "gridPos": {"x": x, "y": y, "w": w, "h": h}}


def test_adjacent_panels_pass() -> None:
    assert misplaced([panel("a", 0, 0), panel("b", 8, 0), panel("c", 16, 0), panel("d", 0, 8, w=24)]) == []


@pytest.mark.parametrize(("x", "y"), [(7, 0), (0, 7), (2, 2), (0, 0)])
def test_overlaps_are_detected(x: int, y: int) -> None:
    assert misplaced([panel("a", 0, 0), panel("b", x, y)]) == ["b overlaps a"]


def test_panels_outside_the_grid_are_detected() -> None:
    assert misplaced([panel("a", 17, 0), panel("b", -1, 20)]) == ["a is out of the grid", "b is out of the grid"]


def test_anchors_of_markdown_headings() -> None:
    assert anchors("# One thing\n\ntext # no\n## `Two`, and more\n") == {"one-thing", "two-and-more"}

"""Rules and dashboard against real daemons, scraped by a real Prometheus."""

import re
import time
from collections.abc import Iterator
from math import isnan

import pytest

from monitoring import expressions as promql
from monitoring import files
from monitoring.catalogue import Catalogue, catalogue_of
from monitoring.programs import Server, prometheus
from monitoring.site import Site, site
from support.wait import until

MEANT = ("decision", "state", "status", "outcome", "result", "source", "kind")
"""Labels whose values have a colour."""
READY = (
    'count (ingestd_queue_jobs{state="running"} == 1) == 2',
    'sum (increase(ingestd_items_total{decision="created"}[1m])) > 0',
    'sum (increase(ingestd_job_duration_seconds_count{outcome="done"}[1m])) > 0',
    "sum (increase(ingestd_heartbeats_total[1m])) > 0",
    "count (rate(process_cpu_seconds_total[1m])) == 2",
    "count (up == 1) == 2",
    "count (ingestd_database_up == 1) == 2",
    'job_state:ingestd_queue_jobs:max{state="running"} == 1',
    "count (job_sync_id_worker:ingestd_job_heartbeat_age_seconds:max) == 1",
)
"""what holds when the last scrape of each host has worked and everything has been counted"""
PENDING = {"IngestdBatchesFailed"}
"""the alerts that apply, without their waiting time: an item has just failed"""
MEANINGFUL = [query for query in files.queries() if query.labels & set(MEANT) and query.kind == "timeseries"]

every_expression = pytest.mark.parametrize("where", files.expressions())
every_query = pytest.mark.parametrize("query", files.queries(), ids=lambda query: query.panel)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def watched(place: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prometheus that has scraped the counters at zero and after some work, with a job running.

    It answers for the moment when all was ready: a later scrape that a busy machine makes too slow changes nothing.
    """
    with prometheus(tmp_path_factory.mktemp("prometheus"), place.addresses) as server:
        until(lambda: len(server.ask("ingestd_items_total == 0")) == 2 * 7, what="for the first scrapes")
        until(lambda: server.ask('job_status:ingestd_batches:max{status="partial"} == 0'), what="for the first rules")
        place.ask_for_health()
        place.import_a_mixture()
        with place.running_job():
            until(lambda: not missing(server), what=lambda: f"for {missing(server)}")
        yield server


def missing(server: Server) -> list[str]:
    """What has no data a second ago: samples are not all there at once."""
    server.moment = time.time() - 1
    pending = [alert.expression for alert in files.alerts() if alert.name in PENDING]
    return [expression for expression in (*READY, *files.recorded(), *pending) if not server.ask(expression)]


@pytest.fixture(scope="module")
def catalogue(place: Site) -> Catalogue:
    return catalogue_of(place.exposition())


def test_the_exposition_has_all_types(catalogue: Catalogue) -> None:
    assert len(catalogue.database_wide) == 9
    assert "ingestd_paused" in catalogue.database_wide
    assert "ingestd_mount_up" in catalogue.gauges - catalogue.database_wide
    assert {"ingestd_items_total", "ingestd_chunk_duration_seconds_bucket"} <= catalogue.counters


@every_expression
def test_expression_is_valid(where: str, catalogue: Catalogue) -> None:
    assert promql.problems(files.expressions()[where], catalogue, files.recorded()) == []


@every_expression
def test_mutated_expression_is_detected(where: str, catalogue: Catalogue) -> None:
    expression = files.expressions()[where]
    names = {selector.name for selector in promql.selectors(expression)}
    mutants = [promql.with_renamed(expression, str(name)) for name in names]
    mutants += [promql.with_sum_for_max(expression)] if names & catalogue.database_wide else []
    mutants += [promql.without_rate(expression)] if names & catalogue.counters else []
    for mutant in mutants:
        assert mutant != expression
        assert promql.problems(mutant, catalogue, files.recorded()), mutant


@every_query
def test_panel_has_data_with_the_labels_of_its_legend(query: files.Query, watched: Server) -> None:
    found = watched.ask(promql.prepared(query.expression))
    assert found, query.expression
    assert all(query.labels <= labels.keys() for labels, _ in found), found
    assert not all(isnan(value) for _, value in found), found


@pytest.mark.parametrize("query", MEANINGFUL, ids=lambda query: query.panel)
def test_series_with_a_meaning_have_a_colour(query: files.Query, watched: Server) -> None:
    (label,) = query.labels
    values = {labels[label] for labels, _ in watched.ask(promql.prepared(query.expression))}
    assert values
    assert values <= query.coloured


@pytest.mark.parametrize("where", [where for where in files.expressions() if not where.startswith("panel")])
def test_every_selector_of_a_rule_has_data(where: str, watched: Server) -> None:
    """An alert that does not fire has no series, but its selectors have."""
    for selector in promql.selectors(files.expressions()[where]):
        assert watched.ask(str(selector)), selector


def test_prometheus_evaluates_every_rule(watched: Server) -> None:
    loaded = watched.rules()
    assert {rule["name"] for rule in loaded} == {rule.name for rule in files.rules()}
    until(lambda: {rule["health"] for rule in watched.rules()} == {"ok"}, what="for every rule to be evaluated")


def test_recorded_database_gauges_do_not_depend_on_the_number_of_hosts(watched: Server) -> None:
    """Both hosts report the same running job; the recording rules count it once."""
    assert [value for _, value in watched.ask('ingestd_queue_jobs{state="running"}')] == [1, 1]
    (running,) = watched.ask('job_state:ingestd_queue_jobs:max{state="running"}')
    assert running == ({"__name__": "job_state:ingestd_queue_jobs:max", "job": "ingestd", "state": "running"}, 1)
    (heartbeat,) = watched.ask("job_sync_id_worker:ingestd_job_heartbeat_age_seconds:max")
    assert {"sync_id", "worker"} <= heartbeat[0].keys()


def test_variables_have_values(watched: Server) -> None:
    queries = [made["query"]["query"] for made in files.dashboard()["templating"]["list"] if made["type"] == "query"]
    assert len(queries) == 2
    for query in queries:
        parts = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert parts is not None
        assert all(parts[2] in labels for labels, _ in watched.ask(promql.prepared(parts[1])))


def test_only_the_expected_alerts_are_pending(watched: Server) -> None:
    pending = {alert.name for alert in files.alerts() if watched.ask(alert.expression)}
    assert pending == PENDING

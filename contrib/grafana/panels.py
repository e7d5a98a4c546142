"""The panel types of the dashboard and their queries."""

from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from style import COLOURS, NEUTRAL, Steps, fixed, thresholds

Panel = Builder[model.Panel]
AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel, statetimeline.Panel, table.Panel)

SOURCE = common_model.DataSourceRef(type_val="prometheus", uid="${datasource}")
ALL = '{job="$job"}'
"""Selector for database-wide gauges: the selection of hosts does not apply."""
CHOSEN = '{job="$job", instance=~"$instance"}'
RUNBOOKS = "${runbooks:raw}"


@dataclass(frozen=True)
class Query:
    """One expression and the legend of its series."""

    expression: str
    legend: str = ""

    @property
    def label(self) -> str:
        """The label that is the whole legend, or an empty string."""
        alone = self.legend.startswith("{{") and self.legend.endswith("}}") and self.legend.count("{{") == 1
        return self.legend.strip("{}") if alone else ""


@dataclass(frozen=True)
class Text:
    """Title and description of a panel; `alerts` are linked to their runbooks."""

    title: str
    description: str
    alerts: tuple[str, ...] = ()

    def links(self) -> list[Builder[model.DashboardLink]]:
        return [
            build.DashboardLink(f"Runbook: {alert}")
            .type(model.DashboardLinkType.LINK)
            .url(f"{RUNBOOKS}#{alert.lower()}")
            .target_blank(True)
            for alert in self.alerts
        ]


# expressions


def matching(selector: str, only: str) -> str:
    """A selector with one more matcher."""
    return selector.replace("}", f", {only}}}")


def database(metric: str, *by: str) -> str:
    """A database-wide gauge. Every host reports the same value, so it is aggregated with max."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"max{grouping} (ingestd_{metric}{ALL})"


def local(metric: str, *by: str, how: str = "max") -> str:
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"{how}{grouping} (ingestd_{metric}{CHOSEN})"


def rate(metric: str, *by: str) -> str:
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} (rate(ingestd_{metric}{CHOSEN}[$__rate_interval]))"


def quantiles(metric: str, only: str = "") -> tuple[Query, Query]:
    """The median and the 95th percentile."""
    matchers = matching(CHOSEN, only) if only else CHOSEN
    buckets = f"sum by (le) (rate(ingestd_{metric}_bucket{matchers}[$__rate_interval]))"
    return (
        Query(f"histogram_quantile(0.5, {buckets})", "p50"),
        Query(f"histogram_quantile(0.95, {buckets})", "p95"),
    )


def over_time(*queries: Query) -> list[Builder[Dataquery]]:
    made = [_target(number, query).range().legend_format(query.legend) for number, query in enumerate(queries)]
    return list(made)


def right_now(*queries: Query, how: PromQueryFormat = PromQueryFormat.TIME_SERIES) -> list[Builder[Dataquery]]:
    """Instant queries, so that vanished series are not shown."""
    made = [_target(number, query).instant().format(how) for number, query in enumerate(queries)]
    return [target.legend_format(query.legend) for target, query in zip(made, queries, strict=True)]


def _target(number: int, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + number)).datasource(SOURCE)


# panels


def framed(panel: AnyPanel, text: Text, height: int, width: int) -> AnyPanel:
    """Applies the settings that all panel types share."""
    panel.title(text.title).description(text.description).links(text.links())
    return panel.datasource(SOURCE).height(height).span(width)


def number(
    text: Text,
    unit: str,
    query: Query,
    *,
    steps: Steps = NEUTRAL,
    mappings: list[model.ValueMapping] | None = None,
    none: str = "no data",
    width: int = 3,
    shows: common_model.BigValueTextMode = common_model.BigValueTextMode.AUTO,
) -> stat.Panel:
    """The current value as a large number, coloured by thresholds or mappings."""
    return (
        framed(stat.Panel(), text, 4, width)
        .unit(unit)
        .no_value(none)
        .mappings(mappings or [])
        .thresholds(thresholds(steps))
        .color_mode(common_model.BigValueColorMode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .text_mode(shows)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .targets(right_now(query))
    )


def course(
    text: Text,
    unit: str,
    *queries: Query,
    colours: dict[str, str] | None = None,
    stacked: bool = False,
    width: int = 8,
) -> timeseries.Panel:
    """Values over time; `colours` are for series without a common meaning."""
    stacking = common_model.StackingMode.NORMAL if stacked else common_model.StackingMode.NONE
    panel = (
        framed(timeseries.Panel(), text, 8, width)
        .unit(unit)
        .min(0)
        .fill_opacity(60 if stacked else 10)
        .line_width(1)
        .stacking(common.StackingConfig().mode(stacking))
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
        .targets(over_time(*queries))
    )
    for name, colour in {**_colours(queries), **(colours or {})}.items():
        panel.override_by_name(name, [fixed(colour)])
    return panel


def _colours(queries: tuple[Query, ...]) -> dict[str, str]:
    """The colours of all possible series names with a common meaning."""
    colours: dict[str, str] = {}
    for query in queries:
        colours |= COLOURS.get(query.label, {})
        if query.legend in COLOURS["quantile"]:
            colours[query.legend] = COLOURS["quantile"][query.legend]
    return colours


def states(text: Text, query: Query, mappings: list[model.ValueMapping], *, width: int = 8) -> statetimeline.Panel:
    """The states of several series over time."""
    return (
        framed(statetimeline.Panel(), text, 8, width)
        .mappings(mappings)
        .merge_values(True)
        .show_value(common_model.VisibilityMode.NEVER)
        .targets(over_time(query))
    )


def rows_of(
    text: Text, *queries: Query, transformations: list[model.DataTransformerConfig], width: int = 24
) -> table.Panel:
    """A table with one line per series and one column per query."""
    return (
        framed(table.Panel(), text, 8, width)
        .transformations(transformations)
        .targets(right_now(*queries, how=PromQueryFormat.TABLE))
    )

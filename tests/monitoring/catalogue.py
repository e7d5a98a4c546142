"""The names and types of all metrics, read from an exposition."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

DATABASE_WIDE = "Database-wide"
"""Marks, in its help text, a gauge that every host reports with the same value."""


@dataclass(frozen=True)
class Catalogue:
    """Names as used in queries; a histogram is listed as its counters."""

    counters: frozenset[str]
    gauges: frozenset[str]
    database_wide: frozenset[str]

    def __contains__(self, name: object) -> bool:
        return name in self.counters or name in self.gauges


def catalogue_of(exposition: str) -> Catalogue:
    """The metrics of a daemon, and `up`, which Prometheus adds."""
    counters, gauges, database_wide = set(), {"up"}, set()
    for family in text_string_to_metric_families(exposition):
        if family.type == "counter":
            counters.add(f"{family.name}_total")
        elif family.type == "histogram":
            counters |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
        else:
            gauges.add(family.name)
            database_wide |= {family.name} if DATABASE_WIDE in family.documentation else set()
    return Catalogue(frozenset(counters), frozenset(gauges), frozenset(database_wide))

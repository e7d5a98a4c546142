"""The figures of the project and their goals: the one list that `make bench`, CI and docs/performance.md follow."""

from dataclasses import dataclass

QUICK_SHARE = 0.8
"""of what the quick form guards, it demands"""


@dataclass(frozen=True, slots=True)
class Goal:
    """The least value that is enough, or the greatest."""

    limit: float
    is_upper: bool

    def is_met_by(self, value: float) -> bool:
        return value <= self.limit if self.is_upper else value >= self.limit

    def eased(self) -> "Goal":
        """The same with the leeway of the quick form."""
        return Goal(self.limit / QUICK_SHARE if self.is_upper else self.limit * QUICK_SHARE, self.is_upper)

    def __str__(self) -> str:
        return f"{'≤' if self.is_upper else '≥'} {self.limit:.4g}"


def at_least(limit: float) -> Goal:
    return Goal(limit, is_upper=False)


def at_most(limit: float) -> Goal:
    return Goal(limit, is_upper=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: a line of the table, or a part of it, as 1a and 1b; ratios have no unit.

    `guarded`: what the quick form compares with, after its leeway: the goal, or what it reached where that is less.
    None: CI does not guard this figure. One without a goal is there to be guarded, as it is more stable than another.
    """

    key: str
    name: str
    goal: Goal | None
    unit: str = ""
    guarded: Goal | None = None

    @property
    def line(self) -> str:
        """The number of its line in the table, or the name of a group of other figures."""
        return self.key.rstrip("abcdefghij") if self.key[0].isdigit() else self.key.split()[0]


FAR = "30 ms an operation"

FIGURES = (
    Figure("1a", f"one bundle, 2,000 items of 5 documents, {FAR}: operations × latency / 32 / time", at_least(0.85)),
    Figure("1b", "operations an item", at_most(22), "operations", at_most(22)),
    Figure("2a", f"2,000 bundles of one item, 5 documents, {FAR}: operations × latency / 32 / time", at_least(0.6)),
    Figure("2b", "operations a bundle", at_most(26), "operations", at_most(26)),
    Figure("3a", "sentinel to recorded there, 10,000 known: beyond the poll interval, median", at_most(0.5), "s"),
    Figure("3b", "the same, maximum of 30", at_most(1.5), "s"),
    Figure("4", "small bundle to imported beside a bundle of 300,000 items, p99", at_most(2), "s"),
    Figure("5a", "bundles of one item, local, scan to done, to django-tasks-db's no-op jobs", at_least(1)),
    Figure("5b", "the same by processor time", None, guarded=at_least(0.55)),
    Figure("6a", "statements of one such bundle, sentinel to done", at_most(30), "statements", at_most(30)),
    Figure("6b", "transactions of one such bundle", at_most(4), "transactions", at_most(4)),
    Figure("7a", "100,000 lean items, pre-flight to done, to LOAD DATA of the same rows", at_least(0.35)),
    Figure("7b", "the same by processor time, from the sentinel on", None, guarded=at_least(0.165)),
    Figure("8a", "20,000 items of 5 documents, local, to LOAD DATA of the same rows", at_least(0.6)),
    Figure("8b", "the same by processor time, from the sentinel on", None, guarded=at_least(0.2)),
    Figure("9a", "100,000 unchanged items delivered again: time to that of new ones", at_most(0.3)),
    Figure("9b", "1 of 100,000 items changed under the same sync_id: time to that of new ones", at_most(0.15)),
    Figure("10", "2 workers on 2 cores to 1", at_least(1.3)),
    Figure("11a", "1,000,000 items: peak PSS of daemon and helpers beyond 2 × manifest", at_most(150), "MiB"),
    Figure("11b", "items/s of 1,000,000 items to those of 100,000", at_least(0.8)),
    Figure("12a", "idle, empty folder: PSS with helpers", at_most(80), "MiB"),
    Figure("12b", "idle, empty folder: processor", at_most(0.2), "%"),
    Figure("12c", "idle, empty folder: queries", at_most(2), "queries/s"),
    Figure("13a", "idle, 100,000 known, one of 1,000,000 items, polling: processor", at_most(1), "%"),
    Figure("13b", "the same: queries", at_most(2), "queries/s"),
    Figure("13c", "the same with inotify: processor", at_most(0.5), "%"),
    Figure("14a", "poll of 100,000 sentinels to a scandir of names", at_most(1.3)),
    Figure("14b", "the same to watchdog's PollingObserver", at_most(0.25), guarded=at_most(0.25)),
    Figure("15", "slowest sweep of a large backlog", at_most(5), "ms"),
    Figure("16", "500 bundles chained by prior_sync_id to 500 unchained", at_least(0.4)),
    Figure("17a", "10,000 galleries of 10", at_least(3000), "galleries/s"),
    Figure("17b", "one more member for a gallery of 100,000 to one of 1,000: time", at_most(2)),
    Figure("18a", "claim with 1,000,000 finished jobs: time", at_most(1.1)),
    Figure("18b", "claim with 20,000 waiting jobs: time", at_most(1.1)),
    Figure("18c", "claim under a snapshot that is open for 5,000 claims: time", at_most(1.5)),
    Figure("19", "import into 5,000,000 assets to an empty library: rate", at_least(0.8)),
    Figure("20a", "sentinel to imported, one item, inotify, to a script of the same steps: median", at_most(1.2)),
    Figure("20b", "the same: p99", at_most(4)),
    Figure("21a", "soak of 20 minutes: memory of the last 5 minutes to the 5 before", at_most(1.02)),
    Figure("21b", "the same: descriptors, threads, connections and helpers more", at_most(0)),
    Figure("pages", "lists and pages of a large database to a small one: slowest", at_most(2)),
    Figure("pages failures", "the same, with groups of failures", at_most(10)),
    Figure("scrape", "scrape with 1,000,000 finished jobs to one with none", at_most(1.5)),
    Figure("slow-clients rate", "rate of an import beside 500 slow clients to that alone", at_least(0.9)),
    Figure("slow-clients answer", "slowest answer beside 500 slow clients", at_most(1), "s"),
)  # fmt: skip

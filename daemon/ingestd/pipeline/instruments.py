"""Counters and histograms of this process, with their Prometheus names. All label values exist from the start."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from ingestd.model import DECIDED, FAILURES

PREFIX = "ingestd"
OUTCOMES = ("done", "failed", "released", "lost")
SOURCES = ("inotify", "poll", "scan")
RESULTS = ("ok", "error")
PREFLIGHT_RESULTS = ("ok", "failed")

MILLISECONDS_TO_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SECONDS_TO_HOURS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 21600)


class Instruments:
    """Counters and histograms of one process, in their own registry."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        self.items = counter("items", "Items decided by imports.", "decision", DECIDED)
        self.item_failures = counter(
            "item_failures", "Items and containers that failed when they were imported, by reason.", "reason", FAILURES
        )
        self.jobs_claimed = counter("jobs_claimed", "Jobs taken from the queue.")
        self.jobs_finished = counter("jobs_finished", "Runs of jobs that ended.", "outcome", OUTCOMES)
        self.stale_resets = counter("stale_resets", "Jobs of dead or silent workers put back into the queue.")
        self.leases_lost = counter("leases_lost", "Runs that found their job taken from them, and wrote nothing more.")
        self.discovered = counter("batches_discovered", "Bundles recorded, by what found them.", "source", SOURCES)
        self.scans = counter("scans", "Full listings of the hand-over folder.", "result", RESULTS)
        self.heartbeats = counter("heartbeats", "Heartbeats of running jobs.", "result", RESULTS)
        self.preflights = counter("preflights", "Plans made.", "result", PREFLIGHT_RESULTS)
        self.documents_read = counter("documents_read_bytes", "Bytes of documents and files read from the mount.")
        self.job_duration = histogram(
            "job_duration_seconds",
            "From the claim of a job to the end of its run.",
            SECONDS_TO_HOURS,
            "outcome",
            OUTCOMES,
        )
        self.queue_wait = histogram("job_queue_wait_seconds", "From queued to claimed.", SECONDS_TO_HOURS)
        self.discovery_delay = histogram(
            "discovery_delay_seconds", "From completed_at of a manifest to its record here.", SECONDS_TO_HOURS
        )
        self.chunk_duration = histogram(
            "chunk_duration_seconds", "Transactions that write a chunk of items.", MILLISECONDS_TO_SECONDS
        )
        self.scan_duration = histogram("scan_duration_seconds", "Full scans that ended well.", MILLISECONDS_TO_SECONDS)

    def _counter(self, name: str, text: str, label: str = "", values: Iterable[str] = ()) -> Counter:
        made = Counter(name, text, [label] if label else [], namespace=PREFIX, registry=self.registry)
        for value in values:
            made.labels(value)
        return made

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], label: str = "", values: Iterable[str] = ()
    ) -> Histogram:
        labels = [label] if label else []
        made = Histogram(name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets)
        for value in values:
            made.labels(value)
        return made

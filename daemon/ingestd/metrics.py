"""What Prometheus scrapes: the process's own instruments, its present state, and what the database says right now.

Absent beats stale: with the database out of reach its gauges are left out, and `ingestd_database_up` is 0.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, replace

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector

from ingestd import __version__, logs
from ingestd.config import DatabaseSettings, Settings
from ingestd.hosts import AllowedHosts
from ingestd.listener import DRAIN_SECONDS, Listener
from ingestd.pipeline.instruments import PREFIX
from ingestd.plain_http import WsgiApp, dispatch, only_for
from ingestd.store.connection import Limits
from ingestd.store.db import Database, Tx
from ingestd.store.queries.live import Live, batches_given_up, live

log = structlog.get_logger()

CACHE_SECONDS = 1.0
PATIENCE_SECONDS = 2.5
STATEMENT_SECONDS = 2.0
THREADS = 4
"""two scrapes that wait for a frozen database must not keep a probe waiting"""
EVERYWHERE = "Database-wide: every host answers the same, so aggregate with max."


@dataclass(frozen=True, slots=True)
class View:
    """The state of this process that a scrape reads. Callables must not block or touch the mount."""

    mount_up: Callable[[], bool]
    last_scan: Callable[[], float | None]
    unrecorded: Callable[[], int]
    stuck: Callable[[], int]
    workers: Callable[[], dict[str, int]]
    draining: Callable[[], bool]
    database_errors: Callable[[], dict[str, int]]


class Metrics:
    """The metrics listener, with all collectors registered in `registry`. Without an address it does nothing."""

    def __init__(
        self, settings: Settings, registry: CollectorRegistry, view: View, probes: Mapping[str, WsgiApp] | None = None
    ) -> None:
        """`probes`: further paths of this listener, which answers even when the one of the pages is busy."""
        ProcessCollector(registry=registry)
        registry.register(ProcessState(settings, view))
        max_retries = len(settings.queue.retry_pauses)
        self._database = DatabaseState(settings.database, per_job=settings.metrics.per_job, max_retries=max_retries)
        registry.register(self._database)
        listen = settings.metrics.listen
        pages = {**(probes or {}), "/metrics": make_wsgi_app(registry)}
        hosts = AllowedHosts(listen, settings.metrics.allowed_hosts, settings.http.allowed_hosts)
        app = only_for(hosts, dispatch(pages))
        self.listener = Listener("metrics", listen, app, THREADS) if listen else None

    def start(self) -> None:
        if self.listener is not None:
            self.listener.start()

    def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        if self.listener is not None:
            self.listener.stop(seconds)
        self._database.close()


def gauge(name: str, text: str, samples: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def single(name: str, text: str, value: float) -> Metric:
    return gauge(name, text, [((), value)])


def by_label(counts: dict[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((label,), count) for label, count in counts.items()]


class ProcessState(Collector):
    """Metrics of this process, created for each scrape."""

    def __init__(self, settings: Settings, view: View) -> None:
        self._settings, self._view = settings, view

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        view, settings = self._view, self._settings
        yield single("mount_up", "Whether the mount was there at the last look.", view.mount_up())
        last = view.last_scan()
        if last is not None:
            yield single("scan_last_success_timestamp_seconds", "When the last full scan ended well.", last)
        yield single("sentinels_unrecorded", "Sentinels seen whose manifest cannot be read yet.", view.unrecorded())
        yield single("bundles_stuck", "Bundles that cannot be read or recorded.", view.stuck())
        yield gauge("workers", "Threads of the pool.", by_label(view.workers()), "state")
        yield single("stale_threshold_seconds", "worker.stale_after.", settings.worker.stale_after)
        yield single("scan_interval_seconds", "mount.rescan_interval.", settings.mount.rescan_interval)
        yield single("draining", "Whether this process is stopping.", view.draining())
        yield gauge("build_info", "What runs here.", [((__version__,), 1)], "version")
        errors = CounterMetricFamily(f"{PREFIX}_database_errors", "Errors of the database, by kind.", labels=["kind"])
        for kind, count in view.database_errors().items():
            errors.add_metric([kind], count)
        yield errors
        text = "Log lines dropped because the log was read too slowly."
        yield CounterMetricFamily(f"{PREFIX}_log_lines_dropped", text, value=logs.dropped())


class DatabaseState(Collector):
    """Metrics read from the database. One scrape at a time queries it; never raises, never takes over 3 s."""

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        per_job: bool,
        max_retries: int = 0,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        self._max_retries = max_retries
        self._cache_seconds = cache_seconds
        self._db = Database(settings, Limits(statement=STATEMENT_SECONDS))
        self._per_job = per_job
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self._lock = threading.Lock()
        self._asked: Future[tuple[Live, float]] | None = None
        self._asked_at = 0.0

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        start = time.monotonic()
        found = self._latest()
        yield single("database_up", "Whether the database answered this scrape.", found is not None)
        yield single(
            "database_scrape_duration_seconds",
            "How long the database took to answer, or this scrape to give up.",
            time.monotonic() - start if found is None else found[1],
        )
        if found is not None:
            yield from self._gauges(found[0])

    def _latest(self) -> tuple[Live, float] | None:
        """The newest answer and the seconds it took; None if there is none in time."""
        with self._lock:
            now = time.monotonic()
            if self._asked is None or (self._asked.done() and now - self._asked_at > self._cache_seconds):
                try:
                    self._asked, self._asked_at = self._pool.submit(self._ask), now
                except RuntimeError as error:  # no thread to spare
                    log.debug("scrape_failed", error=str(error))
                    return None
            asked = self._asked
        try:
            return asked.result(PATIENCE_SECONDS)
        except TookTooLong:
            return None
        except Exception as error:  # noqa: BLE001  a scrape that raises would hide what this process knows itself
            log.debug("scrape_failed", error=str(error))
            return None

    def close(self) -> None:
        """Closes the connection, once it is not in use any more."""
        try:
            self._pool.submit(self._db.close)
        except RuntimeError:  # it never had a thread
            self._db.close()
        self._pool.shutdown(wait=False)

    def _ask(self) -> tuple[Live, float]:
        start = time.monotonic()
        return self._db.read(self._live), time.monotonic() - start

    def _live(self, tx: Tx) -> Live:
        return replace(live(tx), batches_given_up=batches_given_up(tx, self._max_retries))

    def _gauges(self, found: Live) -> Iterator[Metric]:
        yield gauge("queue_jobs", f"Jobs not finished. {EVERYWHERE}", by_label(found.jobs), "state")
        yield single(
            "queue_oldest_job_age_seconds",
            f"Since the oldest queued job was queued. {EVERYWHERE}",
            found.oldest_job_age,
        )
        yield single("paused", f"Whether the queue is paused. {EVERYWHERE}", found.paused)
        yield gauge(
            "batches", f"Batches by status, imported ones left out. {EVERYWHERE}", by_label(found.batches), "status"
        )
        text = f"Batches that failed as a whole in every retry, until they are queued or delivered again. {EVERYWHERE}"
        yield single("batches_given_up", text, found.batches_given_up)
        yield single("items_waiting", f"Deferred items. {EVERYWHERE}", found.items_waiting)
        yield single(
            "items_waiting_oldest_age_seconds",
            f"Since the oldest deferred item was deferred. {EVERYWHERE}",
            found.items_waiting_oldest_age,
        )
        if self._per_job:
            yield from self._running(found)

    def _running(self, found: Live) -> Iterator[Metric]:
        labels = ("sync_id", "worker")
        ages = [((job.sync_id, job.worker), job.heartbeat_age) for job in found.running]
        ratios = [((job.sync_id, job.worker), job.progress) for job in found.running]
        yield gauge("job_heartbeat_age_seconds", f"Since a running job's heartbeat. {EVERYWHERE}", ages, *labels)
        yield gauge("job_progress_ratio", f"How much of a running job is done. {EVERYWHERE}", ratios, *labels)

"""The only place that wires: builds the parts, connects who wakes whom, handles signals, restarts dead threads."""

import signal
import threading
import time
from types import FrameType

import structlog

from ingestd.bundle.mount import Mount
from ingestd.config import Settings
from ingestd.errors import DatabaseUnavailable
from ingestd.metrics import Metrics, View
from ingestd.pipeline.claimer import Claimers, Heart, Poller
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import Sweeper
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.watcher import Watcher
from ingestd.service import Service
from ingestd.store.db import Database

log = structlog.get_logger()

SUPERVISE_INTERVAL = 1.0
FOLLOWER_GAP = 0.25


def make_context(settings: Settings) -> Context:
    """What every stage works with, for one process."""
    return Context(settings, Database(settings.database), Mount(settings.mount))


class Daemon:
    """All parts of a running ingestd. start() and stop() may each be called twice."""

    def __init__(self, settings: Settings) -> None:
        self.context = make_context(settings)
        self._stop_asked = threading.Event()
        instance, close = this_instance(), self.context.db.close
        self.claimers = Claimers(self.context, instance, on_finished=self._wake_followers)
        self.sweeper = Sweeper(self.context, on_queued=self.claimers.wake)
        self.scanner = Scanner(self.context, on_recorded=self._wake_sweeper)
        self.watcher = Watcher(self.context.mount, self._name, self.scanner.awaits, self._rescan)
        self.rescuer = Rescuer(self.context, instance, on_reset=self.claimers.wake)
        poller = Poller(self.context, self.claimers.wake)
        heart = Heart(self.context, lambda: self.claimers.leases)
        self._rescue = Service("rescuer", self.rescuer.run_once, finally_do=close)
        self._scan = Service("scanner", self.scanner.run_once, finally_do=close)
        self._watch = Service("watcher", self.watcher.run_once, finally_do=self.watcher.stop)
        self._sweep = Service("sweeper", self.sweeper.sweep_new, finally_do=close)
        self._follow = Service("follower", self.sweeper.sweep_followers, finally_do=close, min_gap=FOLLOWER_GAP)
        self._poll = Service("poller", poller.run_once, finally_do=close)
        self._heart = Service("heart", heart.run_once, finally_do=close)
        self.metrics = Metrics(settings, self.context.instruments.registry, self._view())
        self.services = [self._rescue, self._scan, self._watch, self._sweep, self._follow, self._poll, self._heart]

    def _view(self) -> View:
        return View(
            mount_up=lambda: self.context.mount.up,
            last_scan=lambda: self.scanner.last_success,
            unrecorded=lambda: self.scanner.unrecorded,
            workers=self.claimers.workers,
            draining=self._stop_asked.is_set,
            database_errors=lambda: dict(self.context.db.errors),
        )

    def start(self) -> None:
        self.metrics.start()
        for service in self.services:
            service.start()
        self.claimers.start()

    def stop(self) -> None:
        """Stops within worker.stop_seconds: chunks in hand are committed or rolled back, jobs go back to queued."""
        deadline = time.monotonic() + self.context.settings.worker.stop_seconds * 0.8
        self.claimers.stop()
        for service in self.services:
            if service is not self._heart:
                service.stop()
        if not self.claimers.join(deadline - time.monotonic()):
            log.warning("claimers_abandoned", jobs=[lease.job_id for lease in self.claimers.leases])
            self._release_abandoned()
        self._heart.stop()
        for service in self.services:
            service.join(max(0.1, deadline - time.monotonic()))
        self.metrics.stop()
        self.context.mount.close()
        self.context.db.close()

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT; returns when everything is put away."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.start()
        log.info("started", root=str(self.context.settings.mount.root), threads=len(self.claimers.services))
        while not self._stop_asked.wait(SUPERVISE_INTERVAL):
            self._supervise()
        log.info("stopping", jobs=[lease.job_id for lease in self.claimers.leases])
        self.stop()
        log.info("stopped")
        for number in (signal.SIGTERM, signal.SIGINT):
            # All is put away: an impatient second signal must not turn a clean exit into a killed one.
            signal.signal(number, signal.SIG_IGN)

    def _supervise(self) -> None:
        for service in (*self.services, *self.claimers.services):
            if service.restart_if_dead():
                log.error("service_restarted", service=service.name)

    def _release_abandoned(self) -> None:
        try:
            self.claimers.release_all()
        except DatabaseUnavailable as error:
            log.warning("release_failed", error=str(error))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked.set()

    def _name(self, sync_ids: set[str]) -> None:
        self.scanner.name(sync_ids, self.watcher.kind or "scan")
        self._scan.wake()

    def _rescan(self) -> None:
        self.scanner.demand_full()
        self._scan.wake()

    def _wake_sweeper(self) -> None:
        self._sweep.wake()

    def _wake_followers(self) -> None:
        self._follow.wake()

"""The composition root: builds all parts, connects what wakes what, handles signals, restarts dead threads."""

import threading
from collections.abc import Set
from signal import SIGHUP
from signal import Signals as Signal

import structlog

from ingestd.config import Settings
from ingestd.listener import DRAIN_SECONDS
from ingestd.metrics import Metrics, View
from ingestd.notify import Notifier
from ingestd.pipeline.abandoned import put_back
from ingestd.pipeline.context import make_context
from ingestd.pipeline.heartbeat import Heartbeat, Poller
from ingestd.pipeline.identity import Instance, this_instance
from ingestd.pipeline.read_ahead import ReadAhead
from ingestd.pipeline.requests import PreflightStep, ScanStep
from ingestd.pipeline.rescuer import Rescuer
from ingestd.pipeline.rotation import RotationStep
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.watcher import Watcher
from ingestd.pipeline.worker_pool import WorkerPool
from ingestd.service import Countdown, Service
from ingestd.signals import STOPPING, Signals
from ingestd.status_reporter import StatusReporter
from ingestd.store import sql
from ingestd.store.next_jobs import QueuedWork
from ingestd.store.request import Claim
from ingestd.web import Health, Hooks, make_app, make_listener

log = structlog.get_logger()

SUPERVISE_INTERVAL = 1.0
PROMOTER_MIN_GAP = 0.25
SILENCE = 150.0
"""seconds after which a silent part is unhealthy: longer than one statement, or one reply of the mount, may take"""
STOP_SHARE = 0.8
"""of worker.stop_seconds, for stopping all parts; the rest is for the process to end"""


class Daemon:
    """All parts of a running ingestd. start() and stop() may each be called twice."""

    def __init__(self, settings: Settings, notifier: Notifier | None = None) -> None:
        sql.read_all()
        self.context = make_context(settings)
        self._notifier = notifier or Notifier()
        self._stopping: Countdown | None = None
        self._stop_asked = threading.Event()
        self._build_pipeline(this_instance())
        hooks = Hooks(self.worker_pool.wake_one, self._wake_runners, self.health, self.lacking)
        probes = Health(self.context, hooks).probes()
        self.metrics = Metrics(settings, self.context.instruments.registry, self._view(), probes)
        self.web = make_app(self.context, hooks)
        self.http = make_listener(settings, self.web)
        self.services = self._build_services()
        # systemd acts when a whole limit has passed since the last ping, so pings end at half of it.
        self._silence = self._notifier.watchdog / 2 if self._notifier.watchdog else SILENCE
        self._reasons: list[str] = []

    def _build_pipeline(self, instance: Instance) -> None:
        context = self.context
        self._read_ahead = Service("read-ahead", ReadAhead(context).run_once)
        self.worker_pool = WorkerPool(context, instance, on_finished=self._wake_after_job)
        self.sweeper = Sweeper(context, on_queued=self._wake_for_queued)
        self.scanner = Scanner(context, self._wake_enqueuer, self._wake_for_new)
        self.watcher = Watcher(context.mount, self._name, self.scanner.awaits, self._rescan, self.scanner.settling)
        self.rescuer = Rescuer(context, instance, on_reset=self.worker_pool.wake)
        self._rotation = RotationStep(context, self.scanner.rotation, self.scanner.is_busy, self._read_again)
        self._scans, self._preflights = ScanStep(context, instance, self.scanner), PreflightStep(context, instance)
        self.runners = (self._scans.runner, self._preflights.runner)

    def _build_services(self) -> list[Service]:
        """The background threads, each with its step; those of the worker pool excepted."""
        poller = Poller(self.context, self._wake_for, self.worker_pool.give_back_left)
        heartbeat = Heartbeat(self.context, lambda: self.worker_pool.leases, self._claims)
        self._rescue = Service("rescuer", self.rescuer.run_once)
        self._scan = Service("scanner", self._scans.run_once)
        self._preflight = Service("preflight", self._preflights.run_once)
        self._enqueuer = Service("auto-enqueuer", self.sweeper.enqueue_new)
        promote = self.sweeper.promote_and_requeue
        self._promoter = Service("promoter", promote, min_gap=PROMOTER_MIN_GAP)
        self._heartbeat = Service("heartbeat", heartbeat.run_once)
        watch = Service("watcher", self.watcher.run_once, finally_do=self.watcher.stop)
        poll = Service("poller", poller.run_once)
        services = [self._rescue, self._scan, self._preflight, watch, self._enqueuer, self._promoter, poll]
        services += [self._heartbeat, self._read_ahead, Service("rotation", self._rotation.run_once)]
        if self._notifier.is_wanted:
            reporter = StatusReporter(self.context, self._notifier, lambda: len(self.worker_pool.leases))
            services.append(Service("status-reporter", reporter.run_once, finally_do=reporter.close))
        return services

    def _view(self) -> View:
        return View(
            mount_up=lambda: self.context.mount.up and self.context.mount.hanging_problem is None,
            last_scan=lambda: self.scanner.last_success,
            unrecorded=lambda: self.scanner.unrecorded,
            stuck=lambda: self.scanner.stuck,
            workers=self.worker_pool.workers,
            draining=lambda: self._stopping is not None,
            database_errors=lambda: dict(self.context.db.errors),
        )

    def start(self) -> None:
        self.metrics.start()
        if self.http is not None:
            self.http.start()
        for service in self.services:
            service.start()
        self.worker_pool.start()

    def stop(self) -> None:
        """Stops all parts within worker.stop_seconds, whatever hangs: jobs and requests go back to the queue.

        Half of the time is for current chunks to be committed or rolled back. Threads that need longer are abandoned.
        """
        self._stopping = self._stopping or Countdown(self.context.settings.worker.stop_seconds)
        countdown = Countdown(self._stopping.left(STOP_SHARE))
        self._ask_to_end()
        if self.http is not None:
            self.http.stop(countdown.left(0.1))
        if self._running(countdown.left(0.5)):
            self._abandon(countdown)
        self._heartbeat.stop()
        self._heartbeat.join(countdown.left(0.8))
        self.metrics.stop(min(DRAIN_SECONDS, countdown.left() / 4))
        self.context.mount.close()
        self.context.db.close()

    def _ask_to_end(self) -> None:
        self.worker_pool.stop()
        self._rotation.stop()
        for runner in self.runners:
            runner.stop()
        for service in self.services:
            if service is not self._heartbeat:
                service.stop()

    def _running(self, seconds: float) -> list[str]:
        """The parts, but the heartbeat, that have not ended in time."""
        countdown = Countdown(seconds)
        ending = [s for s in (*self.worker_pool.services, *self.services) if s is not self._heartbeat]
        return [service.name for service in ending if not service.join(countdown.left())]

    def _abandon(self, countdown: Countdown) -> None:
        """Leaves threads behind that do not end, after putting back what they hold."""
        leases, claims = self.worker_pool.leases, self._claims()
        log.warning("threads_abandoned", threads=self._running(0), jobs=[lease.job_id for lease in leases])
        release = threading.Thread(target=put_back, args=(self.context, leases, claims), name="put-back", daemon=True)
        try:
            release.start()
        except RuntimeError:  # no thread to spare
            release.run()
            return
        release.join(countdown.left(0.8))

    def run(self, signals: Signals | None = None) -> None:
        """Runs until a signal; returns when all parts have stopped, or when the time for that has passed."""
        signals = signals or Signals()
        # In a thread, because whatever it waits for may hang; the main thread goes on in time. It is started now,
        # because later there may be no thread to spare.
        stop = threading.Thread(target=self._stop_when_asked, name="stop", daemon=True)
        stop.start()
        try:
            self.start()
        except BaseException:
            self._end(stop)
            raise
        log.info("started", root=str(self.context.settings.mount.root), threads=len(self.worker_pool.services))
        while not self._heed(signals.wait(min(SUPERVISE_INTERVAL, self._silence / 3))):
            self._supervise()
        log.info("stopping", jobs=[lease.job_id for lease in self.worker_pool.leases])
        self._notifier.stopping(f"stopping; running jobs: {len(self.worker_pool.leases)}")
        self._end(stop)
        log.info("stopped", in_time=not stop.is_alive())

    def _stop_when_asked(self) -> None:
        self._stop_asked.wait()
        self.stop()

    def _end(self, stop: threading.Thread) -> None:
        self._stopping = Countdown(self.context.settings.worker.stop_seconds)
        self._stop_asked.set()
        stop.join(self._stopping.left(STOP_SHARE))

    @property
    def seconds_to_stop(self) -> float:
        """What is left of worker.stop_seconds."""
        return self.context.settings.worker.stop_seconds if self._stopping is None else self._stopping.left(0.9)

    def _heed(self, received: list[Signal]) -> bool:
        """Whether one of the signals stops the daemon. SIGHUP makes it scan; there is nothing else to read again."""
        for number in received:
            if number == SIGHUP:
                log.info("signal_received", signal=number.name, reason="scanning; settings are read only at start")
                self._rescan()
            elif number not in STOPPING:
                log.info("signal_ignored", signal=number.name)
        return any(number in STOPPING for number in received)

    def _supervise(self) -> None:
        for service in (*self.services, *self.worker_pool.services):
            try:
                if service.restart_if_dead():
                    log.error("service_restarted", service=service.name)
            except RuntimeError as error:
                log.error("service_not_restarted", service=service.name, error=str(error))
        reasons = self.health()
        if not reasons:
            self._notifier.alive()
        elif not self._reasons:
            log.error("unhealthy", reasons=reasons)
        self._reasons = reasons

    def health(self) -> list[str]:
        """Why this daemon is unhealthy: vital parts that have been silent for too long; empty if it is healthy.

        A part that waits for the database, the mount or work is not silent.
        """
        vital = (self._scan, self._rescue, *self.worker_pool.services)
        silent = [(service.name, service.silent_for()) for service in vital]
        return [f"{name} has been silent for {seconds:.0f} s" for name, seconds in silent if seconds > self._silence]

    def lacking(self) -> list[str]:
        """Names of the parts that wait because this process or its machine has too few resources."""
        return [service.name for service in (*self.services, *self.worker_pool.services) if service.lacks_resources]

    def _name(self, sync_ids: set[str]) -> None:
        self.scanner.name(sync_ids, self.watcher.kind or "scan")
        self._scan.wake()

    def _read_again(self, sync_ids: Set[str]) -> None:
        self.scanner.read_again(sync_ids)
        self._scan.wake()

    def _rescan(self) -> None:
        """Lists everything once more: events of the watcher may have been lost."""
        self.scanner.demand_full()
        self._scan.wake()

    def _wake_scan(self) -> None:
        """Wakes the scanner for a scan that was requested."""
        self._scans.notify()
        self._scan.wake()

    def _wake_runners(self) -> None:
        self._wake_scan()
        self._preflight.wake()

    def _wake_for(self, queued: QueuedWork) -> None:
        """Wakes the parts that can claim what is queued. Requests wait for the mount, and wakes would cut backoffs."""
        if queued.jobs:
            self.worker_pool.wake()
            self._read_ahead.wake()
        if queued.scans and self.context.mount.up:
            self._wake_scan()
        if queued.preflights and self.context.mount.up:
            self._preflight.wake()

    def _claims(self) -> list[Claim]:
        return [claim for runner in self.runners for claim in runner.claims]

    def _wake_enqueuer(self) -> None:
        self._enqueuer.wake()

    def _wake_for_new(self, jobs: int) -> None:
        """For jobs of new bundles that were queued with their recording."""
        if jobs == 1:
            self.worker_pool.wake_for_one()
        else:
            self._wake_for_queued()

    def _wake_for_queued(self) -> None:
        """For a job that was queued here: one idle worker, and what reads ahead of it."""
        self.worker_pool.wake_one()
        self._read_ahead.wake()

    def _wake_after_job(self) -> None:
        """What may follow the end of a job: others that waited for it, and room to read ahead."""
        self._promoter.wake()
        self._read_ahead.wake()

"""Puts the jobs of dead and silent workers back into the queue, each by one guarded update by primary key."""

import time
from collections.abc import Callable

import structlog

from ingestd.model import BatchStatus
from ingestd.pipeline import requests
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import Instance, host
from ingestd.store import batch, item, job, ledger
from ingestd.store.db import Tx
from ingestd.store.job import Running

log = structlog.get_logger()

MAX_INTERVAL = 60.0
HEARTBEATS_BEFORE_RESET = 4


class Rescuer:
    """Resets the jobs of dead processes of this machine at start, and from then on stale jobs of any host."""

    def __init__(self, context: Context, instance: Instance, on_reset: Callable[[], None] = lambda: None) -> None:
        self._context, self._instance, self._on_reset = context, instance, on_reset
        self._started = False

    def run_once(self) -> float:
        """One round; returns the seconds until the next one."""
        count = 0
        if not self._started:
            count += self.reset_dead()
            requests.reset_dead(self._context, self._instance)
            self._started = True
        if self._may_reset_stale():
            count += self.reset_stale()
            requests.reset_stale(self._context)
        if count:
            self._on_reset()
        settings = self._context.settings.worker
        return min(MAX_INTERVAL, settings.stale_after / 4, settings.heartbeat_interval * 2)

    def reset_dead(self) -> int:
        """Resets jobs whose process on this machine is certainly gone."""
        running = self._context.db.read(lambda tx: job.running_on(tx, self._instance.machine_id))
        dead = [found for found in running if found.instance and self._instance.is_dead(found.instance)]
        return sum(self._reset(found, job.reset_dead) for found in dead)

    def reset_stale(self) -> int:
        """Resets jobs whose heartbeat is older than worker.stale_after."""
        limit = self._context.settings.worker.stale_after
        stale = self._context.db.read(lambda tx: job.stale(tx, limit))
        return sum(self._reset(found, lambda tx, found: job.reset_stale(tx, found, limit)) for found in stale)

    def _may_reset_stale(self) -> bool:
        """Whether old heartbeats mean dead workers: after an outage, workers first get time to send some."""
        since = self._context.db.available_since
        patience = HEARTBEATS_BEFORE_RESET * self._context.settings.worker.heartbeat_interval
        return since is not None and (not self._context.db.had_outage or time.monotonic() - since >= patience)

    def _reset(self, found: Running, guarded_update: Callable[[Tx, Running], bool]) -> int:
        done = self._context.db.transaction(lambda tx: self._reset_in(tx, found, guarded_update))
        if done:
            self._context.instruments.stale_resets.inc()
            log.warning("job_reset", job_id=found.id, prior_claimed_by=found.claimed_by, stuck=found.stuck)
        return int(done)

    def _reset_in(self, tx: Tx, found: Running, guarded_update: Callable[[Tx, Running], bool]) -> bool:
        # Locks the batch before the job, as every transaction that ends a run does.
        batch.lock_by_id(tx, found.batch_id)
        if not guarded_update(tx, found):
            return False
        if found.current_item_id is not None:
            item.record_crash(tx, found.current_item_id)
        batch.set_status(tx, found.batch_id, BatchStatus.QUEUED)
        ledger.append(
            tx,
            found.batch_id,
            "job_reset",
            phase="job_reset",
            job_id=found.id,
            prior_claimed_by=found.claimed_by,
            prior_heartbeat_at=found.heartbeat_at and f"{found.heartbeat_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            reaped_by=f"{host()}/pid:{self._instance.pid}",
            threshold_seconds=_number(self._context.settings.worker.stale_after),
        )
        return True


def _number(seconds: float) -> float | int:
    return int(seconds) if seconds.is_integer() else seconds

"""Queues new batches, many in one transaction. Each waits for its prior as if it were queued by itself."""

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import groupby, islice
from typing import NamedTuple

from ingestd import decide
from ingestd.errors import DatabaseContention, DataRefused
from ingestd.model import DAEMON, JobState, Version
from ingestd.pipeline import ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, job, ledger, new_batch, versions
from ingestd.store.attempts import never
from ingestd.store.db import Tx
from ingestd.store.new_batch import NewBatch

MAX_TOGETHER = 100


def parts(context: Context, sync_ids: Sequence[str]) -> Iterator[list[str]]:
    """Batches in this order, in parts: of several that never had a job, or of one."""
    new = context.db.read(lambda tx: new_batch.without_job(tx, sync_ids))
    for is_new, run in groupby(sync_ids, key=new.__contains__):
        run_of = iter(run)
        while part := list(islice(run_of, MAX_TOGETHER if is_new else 1)):
            yield part


class Queued(NamedTuple):
    """Batches that were queued, and those that other clients hold."""

    queued: set[str]
    held: set[str]


def queue(context: Context, part: Sequence[str]) -> Queued:
    """Queues the batches of a part together, in this order.

    Those that are neither queued nor held have had a job by now, or have to be tried one by one.
    """
    priority = context.settings.queue.priority
    if len(part) < 2:
        return Queued(set(), set())
    try:
        # Rows that others hold are left out. Not as `transaction_at_once`: SKIP LOCKED fails where no wait is allowed.
        return context.db.transaction(lambda tx: _queue(tx, part, priority), keep_waiting=never)
    except (DatabaseContention, DataRefused):  # perhaps because of one of them
        return Queued(set(), set())


def _queue(tx: Tx, sync_ids: Sequence[str], priority: int) -> Queued:
    free = batch.free(tx, sync_ids)
    locked = _lock(tx, free)
    found = {sync_id: locked[sync_id] for sync_id in sync_ids if sync_id in locked}
    if found:
        _insert(tx, found, priority)
    return Queued(set(found), set(sync_ids) - free)


def _insert(tx: Tx, found: Mapping[str, NewBatch], priority: int) -> None:
    """Inserts jobs for batches, in this order."""
    states = _states(tx, found)
    rows = [(new.id, states[sync_id], new.manifest_sha256, new.item_count) for sync_id, new in found.items()]
    job_ids = job.insert_all(tx, rows, priority=priority, requested_by=DAEMON)
    new_batch.queue_all(tx, list(job_ids))
    events = [
        (batch_id, *ordering.job_event("job_queued", job_id, priority, DAEMON)) for batch_id, job_id in job_ids.items()
    ]
    ledger.append_rows(tx, events)
    ordering.hold_back_all_successors(tx, [sync_id for sync_id, new in found.items() if new.is_followed])


def _lock(tx: Tx, free: Set[str]) -> dict[str, NewBatch]:
    """Those of some batches, whose rows are locked, that may be queued; those that they follow are locked, too.

    So each of two transactions that queue a batch and its prior sees what the other one did.
    """
    found = new_batch.without_job(tx, free)
    own = {new.id for new in found.values()}
    priors = {new.prior_id for new in found.values() if new.prior_id is not None} - own
    if priors:
        new_batch.lock_for_a_while(tx, sorted(priors))
        return new_batch.without_job(tx, free)  # as they are now: jobs may have ended meanwhile
    return found


def _states(tx: Tx, found: Mapping[str, NewBatch]) -> dict[str, JobState]:
    """The states of the new jobs of batches, in this order: each waits for an active job of an older prior."""
    known = _versions(tx, found)
    active = {new.prior for new in found.values() if new.is_prior_active}
    states = dict[str, JobState]()
    for sync_id, new in found.items():
        prior = known.get(new.prior or "") if new.prior in active else None
        must_wait = prior is not None and decide.is_older(prior, known[sync_id])
        states[sync_id] = JobState.WAITING if must_wait else JobState.QUEUED
        active.add(sync_id)
    return states


def _versions(tx: Tx, found: Mapping[str, NewBatch]) -> dict[str, Version]:
    """The versions of batches, and of those that they follow; none if they follow no other."""
    priors = {new.prior for new in found.values() if new.prior is not None}
    known = versions.versions(tx, {*found, *priors}) if priors else ()
    return {version.sync_id: version for version in known}

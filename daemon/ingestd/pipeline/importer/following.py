"""Jobs that wait for those of a group, directly or through others, and that the transaction of the group imports, too.

That is only done if claims would find just them, in this order, each time that the jobs before have ended.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from ingestd.model import Lease
from ingestd.pipeline import claims, ordering
from ingestd.pipeline.context import Context
from ingestd.store import batch, control, job_groups, library, waiting_jobs
from ingestd.store.attempts import never
from ingestd.store.db import Tx
from ingestd.store.waiting_jobs import Place, Waiting

MAX_WAITING = 128
"""jobs that wait for those of a group, directly or through others, beyond which none of them follows"""
Event = tuple[int, str, dict[str, object]]


class Claimant(NamedTuple):
    """A worker, the fingerprint of its process, and the jobs that it leaves to itself for a while."""

    worker_id: str
    instance: str
    without: Sequence[int]


class Followers(NamedTuple):
    """Jobs that may follow those of a group, as leases that hold once they are claimed, and who claims them."""

    leases: Sequence[Lease]
    claimant: Claimant


def find(
    context: Context, leases: Sequence[Lease], claimant: Claimant, limit: int, hashes_of: Callable[[Lease], set[str]]
) -> Followers:
    """Jobs that wait now, up to `limit`, and whose bundles are small, and of new assets; the nearest first.

    `hashes_of`: the assets of the bundle of a job.
    """
    named = context.ahead.followers([lease.sync_id for lease in leases], limit) if limit > 0 else []
    if not named:
        return Followers((), claimant)
    waiting = context.db.read(lambda tx: _next(tx, claimant, waiting_jobs.of_bundles(tx, named)), keep_waiting=never)
    free = [one for one in waiting if claims.may_be_together(context, one.job)]
    levels = _levels([lease.batch_id for lease in leases], free)
    found = [claims.lease(one.job, claimant.worker_id) for level in levels for one in level]
    new = _new(context, [hashes_of(lease) for lease in (*leases, *found)])
    return Followers(found[: max(0, new - len(leases))], claimant)


def _next(tx: Tx, claimant: Claimant, waiting: Sequence[Waiting]) -> list[Waiting]:
    """Those of some jobs that claims would find before all that are queued."""
    queued = job_groups.next_queued(tx, 1, claimant.without) if waiting else []
    return [one for one in waiting if not queued or one.place < Place(queued[0].priority, queued[0].id)]


def _new(context: Context, bundles: Sequence[set[str]]) -> int:
    """How many of some bundles come before the first that lists an asset that is known, or that one before it lists."""
    named = sorted(set[str]().union(*bundles))
    taken = set(context.db.read(lambda tx: library.named(tx, named), keep_waiting=never))
    for place, hashes in enumerate(bundles):
        if hashes & taken:
            return place
        taken |= hashes
    return len(bundles)


def rounds(
    tx: Tx, context: Context, batch_ids: Sequence[int], made: Mapping[int, Lease], claimant: Claimant
) -> list[list[Waiting]]:
    """The jobs that follow those of some batches, which end now: in each round those that the one before promotes.

    `made`: what can be imported, by batch. All these batches are locked, so that no other job begins to wait for them.
    A round of which anything is in the way, and all after it, are left to the end of this transaction, and to claims.
    """
    if control.is_paused(tx):
        return []
    waiting = waiting_jobs.of_priors(tx, [*batch_ids, *made], MAX_WAITING)
    free = {one.job.id for one in _next(tx, claimant, waiting) if _may_follow(context, one, made.get(one.job.batch_id))}
    levels = _levels(batch_ids, waiting if len(waiting) < MAX_WAITING else ())
    return list(takewhile(lambda level: all(one.job.id in free for one in level), levels))


def _may_follow(context: Context, one: Waiting, lease: Lease | None) -> bool:
    """Whether a job is still as it was when its bundle was read."""
    is_same = lease is not None and (one.job.id, one.job.token + 1) == (lease.job_id, lease.token)
    return is_same and claims.may_be_together(context, one.job)


def _levels(batch_ids: Iterable[int], waiting: Iterable[Waiting]) -> Iterator[list[Waiting]]:
    """Those that wait for some batches, those that wait for these, and so on; each in the order of claims."""
    of_prior: dict[int, list[Waiting]] = {}
    for one in waiting:
        of_prior.setdefault(one.prior_id, []).append(one)
    while level := sorted((one for id_ in batch_ids for one in of_prior.get(id_, ())), key=lambda one: one.place):
        yield level
        batch_ids = [one.job.batch_id for one in level]


def claim(tx: Tx, context: Context, followed: Sequence[Waiting], claimant: Claimant) -> None:
    """Promotes and claims jobs. Raises DatabaseContention if one does not wait any more."""
    patience = context.settings.worker.patience
    ids = [one.job.id for one in followed]
    job_groups.claim_waiting(tx, ids, claimant.worker_id, claimant.instance, patience)
    batch.start(tx, [one.job.batch_id for one in followed])


def events(level: Sequence[Waiting], claimant: Claimant) -> Iterator[Event]:
    """The promotions and claims of a round."""
    for one in level:
        place = (one.job.id, one.job.priority, one.requested_by)
        yield one.job.batch_id, *ordering.job_event("job_promoted", *place)
    for one in level:
        yield claims.event(one.job, claimant.worker_id)

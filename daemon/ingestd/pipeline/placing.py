"""Bundles of one time whose order becomes known late: what was imported in another order is imported again.

At equal times a bundle is newer than those that it follows. If one of these arrives after it, it may have to be newer
than others of that time that were taken for newer before. Its re-import lets it overwrite what they wrote.
"""

from itertools import groupby
from operator import attrgetter

from ingestd.store import batch
from ingestd.store.batch import Follower
from ingestd.store.db import Tx


def place(tx: Tx, limit: int) -> list[str]:
    """Looks at new batches; returns the sync_ids of those to import again, whose order they change.

    A batch counts as placed when no other has to be imported again because of it.
    """
    ids = batch.lock_unplaced(tx, limit)
    if not ids:
        return []
    moved = [follower for followers in _by_time(batch.followers(tx, ids)) for follower in _moved(tx, followers)]
    batch.place(tx, sorted(set(ids) - {follower.followed for follower in moved}))
    return sorted({follower.sync_id for follower in moved})


def _by_time(followers: list[Follower]) -> list[list[Follower]]:
    time = attrgetter("completed_at")
    return [list(group) for _, group in groupby(sorted(followers, key=time), key=time)]


def _moved(tx: Tx, followers: list[Follower]) -> list[Follower]:
    """Those of some followers of one time whose place among others has changed: not where all of that time follow."""
    if not batch.has_others(tx, followers[0].completed_at, {follower.id for follower in followers}):
        return []
    return [follower for follower in followers if batch.has_moved(tx, follower.id, batch.version(tx, follower.id))]

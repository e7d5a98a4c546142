"""Bundles of one time whose order becomes known late: what was imported in another order is imported again.

At equal times a bundle is newer than those that it follows. If one of these arrives after it, it may have to be newer
than others of that time that counted as newer before. Its re-import lets it overwrite what they wrote.
"""

from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from ingestd.model import MAX_GENERATION
from ingestd.store import versions
from ingestd.store.db import Tx
from ingestd.store.versions import Follower


class Placing(NamedTuple):
    """How many batches were looked at, and so locked, and the sync_ids of those to queue again."""

    looked_at: int
    moved: list[str]


def place(tx: Tx, limit: int) -> Placing:
    """Looks at new batches, and finds those imported before whose order they change.

    A batch counts as placed when none that follows it is to be imported again because of it. It is looked at once more
    while one that follows it is being imported, perhaps with the order from before. What was delivered again and not
    imported since, or was cancelled, is left alone: when a person queues it, its run takes up everything.
    """
    ids = versions.lock_unplaced(tx, limit)
    if not ids:
        return Placing(0, [])
    by_time = attrgetter("version_at")
    groups = groupby(sorted(versions.followers(tx, ids), key=by_time), key=by_time)
    open_times, moved = set(), []
    for version_at, followers in ((at, list(group)) for at, group in groups):
        again = _moved(tx, followers)
        moved += again
        if again or any(follower.is_running for follower in followers):
            open_times.add(version_at)
    versions.place(tx, [id_ for id_, version_at in versions.times(tx, ids).items() if version_at not in open_times])
    return Placing(len(ids), sorted(follower.sync_id for follower in moved))


def _moved(tx: Tx, followers: list[Follower]) -> list[Follower]:
    """Those of all followers of one time that are to be imported again, because their generation has changed.

    Where all of that time follow, and none in a circle, each generation grows alike: their order is the same.
    """
    candidates = [follower for follower in followers if follower.may_be_queued]
    generations = versions.generations(tx, [follower.sync_id for follower in candidates])
    in_circle = MAX_GENERATION in generations.values()
    if not in_circle and not versions.has_others(tx, followers[0].version_at, {follower.id for follower in followers}):
        return []
    return [follower for follower in candidates if follower.generation != generations.get(follower.sync_id, 0)]

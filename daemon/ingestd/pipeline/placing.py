"""Bundles of one time whose order becomes known late: what was imported in another order is imported again.

At equal times a bundle is newer than those that it follows. If one of these arrives after it, it may have to be newer
than others of that time that counted as newer before. Its re-import lets it overwrite what they wrote.
"""

from collections import Counter
from datetime import datetime
from typing import NamedTuple

from ingestd.store import batch, versions
from ingestd.store.db import Tx
from ingestd.store.versions import Follower

Placed = tuple[Follower, int]
"""a batch, and the generation that it has now"""


class Look(NamedTuple):
    """How many batches a sweep looked at and locked, and the id after which the next look begins.

    `moved` are those to queue again, by sync_id, with the generation of their last import.
    """

    locked: int
    up_to: int
    moved: dict[str, int | None]


def place(tx: Tx, after: int, limit: int) -> Look:
    """Looks at the next new batches, and finds those to queue again, whose order they change.

    A batch counts as placed when neither it nor one that follows it is to be imported again. It is looked at once more
    while one of them is being imported, perhaps with the order from before. What was delivered again and not imported
    since, is held, or was cancelled, is left alone: when a person queues it, its run takes up everything.
    """
    found = versions.unplaced(tx, after, limit)
    ids = [found[sync_id] for sync_id in batch.free(tx, found)]
    followers = _followers(tx, ids)
    lowered, is_complete = _lower(tx, followers)
    behind = _behind(_followers(tx, [*ids, *lowered]) if lowered else followers)
    moved = _moved(tx, behind)
    running = [follower for follower in behind if follower.is_running]
    open_times = {follower.version_at for follower in (*moved, *running)}
    versions.place(tx, _at_other_times(tx, ids, open_times) if is_complete else [])
    up_to = max(found.values()) if len(found) == limit else 0
    return Look(len(ids), up_to, {follower.sync_id: follower.generation for follower in moved})


def _lower(tx: Tx, followers: list[Placed]) -> tuple[list[int], bool]:
    """Those to import again because of followers that follow fewer now, and whether these are all."""
    again: list[int] = []
    is_complete = True
    for follower, generation in followers:
        if follower.generation is not None and generation < follower.generation:
            newer = versions.newer_now(tx, follower, generation)
            if len(batch.free(tx, [follower.sync_id, *newer])) <= len(newer):
                is_complete = False
                continue
            # What the follower has written need not be written again: versions are compared as they are at that moment.
            versions.import_again(tx, newer.values())
            versions.lower(tx, follower.id, generation)
            again += newer.values()
    return again, is_complete


def _followers(tx: Tx, ids: list[int]) -> list[Placed]:
    """Some batches, and those that follow them."""
    followers = versions.followers(tx, ids) if ids else []
    generations = versions.generations(tx, [follower.sync_id for follower in followers])
    return [(follower, generations[follower.sync_id]) for follower in followers]


def _behind(followers: list[Placed]) -> list[Follower]:
    """Those that were imported when they followed fewer, or are being imported, if they may be queued at some time."""
    return [
        follower
        for follower, generation in followers
        if (follower.is_running or follower.may_be_queued)
        and (follower.generation is None or follower.generation < generation)
    ]


def _moved(tx: Tx, behind: list[Follower]) -> list[Follower]:
    """Those of them that may be queued, and are not alone at their time: then there is no order to change."""
    moved = [follower for follower in behind if follower.may_be_queued]
    counts = Counter(follower.version_at for follower in moved)
    return [
        follower
        for follower in moved
        if counts[follower.version_at] > 1 or versions.has_others(tx, follower.version_at, follower.id)
    ]


def _at_other_times(tx: Tx, ids: list[int], times: set[datetime]) -> list[int]:
    if not times:
        return ids
    return [id_ for id_, version_at in versions.times(tx, ids).items() if version_at not in times]

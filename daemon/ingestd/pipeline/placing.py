"""Bundles of one time whose order becomes known late: what was imported in another order is imported again.

At equal times a bundle is newer than those that it follows. If one of these arrives after it, it may have to be newer
than others of that time that counted as newer before. Its re-import lets it overwrite what they wrote.

If it follows fewer, because one of these was delivered again, others may have to overwrite what it wrote. Then all
bundles of that time are imported again.
"""

from collections import Counter
from datetime import datetime
from typing import NamedTuple

from ingestd.store import batch, versions
from ingestd.store.db import Tx
from ingestd.store.versions import Imported, Order

MAX_TIMES = 100


class Look(NamedTuple):
    """How many batches a sweep looked at and locked, and the id after which the next look begins.

    `moved` are those to queue again, by sync_id, with what their last import rested on.
    """

    locked: int
    up_to: int
    moved: dict[str, Order]


def place(tx: Tx, after: int, limit: int) -> Look:
    """Looks at the next new batches, and finds those to queue again, whose order they change.

    A batch counts as placed when neither it nor one that follows it is to be imported again. It is looked at once more
    while one of them is being imported, perhaps with the order from before. What was delivered again and not imported
    since, is held, or was cancelled, is left alone: when a person queues it, its run takes up everything.
    """
    found = versions.unplaced(tx, after, limit)
    ids = [found[sync_id] for sync_id in batch.free(tx, found)]
    behind = _behind(tx, versions.followers(tx, ids)) if ids else []
    moved = _moved(tx, behind)
    running = [follower for follower in behind if follower.is_running]
    open_times = {follower.version_at for follower in (*moved, *running)}
    versions.place(tx, _at_other_times(tx, ids, open_times))
    up_to = max(found.values()) if len(found) == limit else 0
    return Look(len(ids), up_to, {follower.sync_id: follower.order for follower in moved})


def place_times(tx: Tx, limit: int) -> dict[str, Order]:
    """Finds batches to queue again because bundles of their time follow fewer: those to queue, as `Look.moved`.

    A time counts as placed when none of its batches is left to be queued. As long as one of them is being imported with
    a former order, it may overwrite newer ones: the others wait for that, and are then imported again, whatever was
    imported meanwhile.
    """
    moved: dict[str, Order] = {}
    for version_at, revision, awaits_runs in versions.revised_times(tx, MAX_TIMES):
        if awaits_runs:
            if versions.has_former_runs(tx, version_at):
                continue
            versions.end_runs(tx, version_at)
        outdated = versions.outdated(tx, version_at, limit - len(moved))
        if len(outdated) == 1 and not versions.has_others(tx, version_at, outdated[0].id):
            outdated = []
        if not outdated and len(moved) < limit:
            versions.place_time(tx, version_at, revision + awaits_runs)
        moved |= {found.sync_id: found.order for found in outdated}
    return moved


def _behind(tx: Tx, followers: list[Imported]) -> list[Imported]:
    """Those whose order has changed since their last import, if they are being imported or may be again."""
    concerned = [follower for follower in followers if follower.is_running or follower.may_be_queued]
    generations = versions.generations(tx, [follower.sync_id for follower in concerned])
    now = {follower.id: Order(generations[follower.sync_id], follower.revision) for follower in concerned}
    return [follower for follower in concerned if follower.order != now[follower.id]]


def _moved(tx: Tx, behind: list[Imported]) -> list[Imported]:
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

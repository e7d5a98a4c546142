"""The versions of bundles, and of what rows say; and the batches whose order becomes known late."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from ingestd import decide
from ingestd.model import MAX_GENERATION, Version
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids

_sql = Queries("version")
Reader = Callable[[Any, Any], Version | None]


class Follower(NamedTuple):
    """A batch that may follow others of its time.

    `generation` is that of its last import, -1 if it is to be imported again; None if that was at another time or
    begins just now.
    """

    id: int
    sync_id: str
    version_at: datetime
    generation: int | None
    is_running: bool
    may_be_queued: bool


def generations(tx: Tx, sync_ids: Iterable[str]) -> dict[str, int]:
    """How many batches of its time each known batch follows, by sync_id."""
    wanted = tuple(sync_ids)
    if not wanted:
        return {}
    rows = _sql.ancestors(tx.connection, sync_ids=wanted, limit=MAX_GENERATION)
    found = decide.generations({sync_id: (version_at, prior) for sync_id, version_at, prior in rows}, MAX_GENERATION)
    return {sync_id: found[sync_id] for sync_id in wanted if sync_id in found}


def versions(tx: Tx, sync_ids: Iterable[str]) -> list[Version]:
    """The versions of those batches that have one, in no particular order."""
    wanted = tuple(sync_id for sync_id in sync_ids if sync_id.isascii())
    rows = list(_sql.versions(tx.connection, sync_ids=wanted)) if wanted else []
    times = Counter(completed_at for completed_at, _ in rows)
    following = generations(tx, [sync_id for completed_at, sync_id in rows if times[completed_at] > 1])
    return [Version(completed_at, sync_id, following.get(sync_id, 0)) for completed_at, sync_id in rows]


def version(tx: Tx, batch_id: int) -> Version:
    """The version of a consumable batch. A manifest that is delivered again is never older than one imported before."""
    completed_at, sync_id = _sql.version(tx.connection, batch_id=batch_id)
    return Version(completed_at, sync_id, generations(tx, [sync_id]).get(sync_id, 0))


def unplaced(tx: Tx, after: int, limit: int) -> dict[str, int]:
    """The next batches, by id, of which no sweep has seen yet whether others follow them: sync_id and id."""
    return dict(_sql.unplaced(tx.connection, after=after, limit=limit))


def place(tx: Tx, ids: Iterable[int]) -> None:
    wanted = Ids(ids)
    if wanted:
        _sql.place(tx.connection, ids=wanted)


def look_again(tx: Tx, batch_id: int) -> None:
    """Has a sweep look at a batch again: a run that would have taken up the order was cancelled, or none is needed."""
    _sql.look_again(tx.connection, batch_id=batch_id)


def newer_now(tx: Tx, follower: Follower, generation: int) -> dict[str, int]:
    """Those of its time that are newer than a batch, now that it has a lower generation: sync_id and id."""
    at, before = follower.version_at, follower.generation
    found = _sql.newer_now(tx.connection, version_at=at, sync_id=follower.sync_id, generation=generation, before=before)
    return dict(found)


def import_again(tx: Tx, ids: Iterable[int]) -> None:
    """Has the sweep queue these batches again, whatever their generation."""
    wanted = Ids(ids)
    if wanted:
        _sql.import_again(tx.connection, ids=wanted)


def lower(tx: Tx, batch_id: int, generation: int) -> None:
    """Records that the lower generation of a batch was taken into account."""
    _sql.lower(tx.connection, batch_id=batch_id, generation=generation)


def times(tx: Tx, ids: Iterable[int]) -> dict[int, datetime | None]:
    """The times of the versions of some batches, by id; None where it is not known."""
    return dict(_sql.times(tx.connection, ids=Ids(ids)))


def followers(tx: Tx, ids: Iterable[int]) -> list[Follower]:
    """Those of some batches, and of those of the same time that follow them, directly or not, whose import began."""
    return [
        Follower(id_, sync_id, version_at, generation, bool(is_running), bool(may_be_queued))
        for id_, sync_id, version_at, generation, is_running, may_be_queued in _sql.followers(
            tx.connection, ids=Ids(ids), limit=MAX_GENERATION
        )
    ]


def has_others(tx: Tx, version_at: datetime, batch_id: int) -> bool:
    """Whether the import of another batch of a time began."""
    return bool(_sql.has_others(tx.connection, version_at=version_at, batch_id=batch_id))


def imported_generation(tx: Tx, batch_id: int) -> int | None:
    """The generation of the last import of a batch; None where a sweep must not queue it because of its order."""
    generation: int | None = _sql.still_imported(tx.connection, batch_id=batch_id)
    return generation


def has_moved(tx: Tx, batch_id: int, now: Version) -> bool:
    """Whether the version of a batch was another one when its last import began."""
    completed_at, generation = _sql.imported_version(tx.connection, batch_id=batch_id)
    return generation is not None and (completed_at, generation) != (now.completed_at, now.generation)


def begin_import(tx: Tx, batch_id: int, version: Version, *, of_all: bool) -> None:
    """Records that the present manifest is being imported, and the version if that is of all that it says."""
    at, generation = version.completed_at, version.generation
    _sql.begin_import(tx.connection, batch_id=batch_id, completed_at=at, generation=generation, of_all=of_all)


def reader(tx: Tx, incoming: Version, writers: Iterable[tuple[Any, Any]]) -> Reader:
    """Makes versions of the columns of rows. Generations are read only where rows tie with `incoming` on time."""
    distinct = {(at, by) for at, by in writers if at and by}
    ties = {by for at, by in distinct if at == incoming.completed_at and by != incoming.sync_id}
    following = generations(tx, sorted(ties))
    known = {(at, by): Version(at, by, following.get(by, 0)) for at, by in distinct}
    return lambda at, by: known.get((at, by))


def pair(version: Version | None) -> tuple[Any, str | None]:
    return (version.completed_at, version.sync_id) if version else (None, None)

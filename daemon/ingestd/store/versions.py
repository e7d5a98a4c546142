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


class Order(NamedTuple):
    """What the order of a batch among others of its time rested on when its last import began; None at the first."""

    generation: int | None
    revision: int | None


class Imported(NamedTuple):
    """A batch that was imported, or is being imported, and the revision of the order of its time now."""

    id: int
    sync_id: str
    version_at: datetime
    order: Order
    revision: int
    is_running: bool
    may_be_queued: bool


class RevisedTime(NamedTuple):
    """A time whose order was revised; `awaits_runs`: some of its batches may be imported with a former revision."""

    version_at: datetime
    revision: int
    awaits_runs: bool


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
    completed_at, sync_id, has_prior = _sql.version(tx.connection, batch_id=batch_id)
    following = generations(tx, [sync_id]) if has_prior else {}
    return Version(completed_at, sync_id, following.get(sync_id, 0))


def unplaced(tx: Tx, after: int, limit: int) -> dict[str, int]:
    """The next batches, by id, of which no sweep has seen yet whether others follow them: sync_id and id."""
    return dict(_sql.unplaced(tx.connection, after=after, limit=limit))


def place(tx: Tx, ids: Iterable[int]) -> None:
    wanted = Ids(ids)
    if wanted:
        _sql.place(tx.connection, ids=wanted)


def look_again(tx: Tx, batch_id: int) -> None:
    """Has a sweep look at a batch again, because a run that would have taken up the order was cancelled."""
    _sql.look_again(tx.connection, batch_id=batch_id)


def times(tx: Tx, ids: Iterable[int]) -> dict[int, datetime | None]:
    """The times of the versions of some batches, by id; None where it is not known."""
    return dict(_sql.times(tx.connection, ids=Ids(ids)))


def followers(tx: Tx, ids: Iterable[int]) -> list[Imported]:
    """Those of some batches, and of those of the same time that follow them, directly or not, whose import began."""
    return [_imported(*row) for row in _sql.followers(tx.connection, ids=Ids(ids), limit=MAX_GENERATION)]


def outdated(tx: Tx, version_at: datetime, limit: int) -> list[Imported]:
    """Batches of a time whose last import began with another revision of its order, and that are not left alone."""
    return [_imported(*row) for row in _sql.outdated(tx.connection, version_at=version_at, limit=limit)]


def _imported(
    id_: int,
    sync_id: str,
    version_at: datetime,
    generation: int | None,
    imported: int | None,
    revision: int,
    *flags: int,
) -> Imported:
    return Imported(id_, sync_id, version_at, Order(generation, imported), revision, *map(bool, flags))


def revised_times(tx: Tx, limit: int) -> list[RevisedTime]:
    """Times whose order was revised, so that their batches are to be imported again."""
    return [RevisedTime(*row) for row in _sql.revised_times(tx.connection, limit=limit)]


def has_former_runs(tx: Tx, version_at: datetime) -> bool:
    """Whether a batch of a time is being imported with a former revision of its order."""
    return bool(_sql.has_former_runs(tx.connection, version_at=version_at))


def end_runs(tx: Tx, version_at: datetime) -> None:
    """Records that such runs have ended, by another revision: what was imported beside them may be overwritten."""
    _sql.end_runs(tx.connection, version_at=version_at)


def place_time(tx: Tx, version_at: datetime, revision: int) -> None:
    """Records that no batch of a time is left to be imported again, unless its order was revised since."""
    _sql.place_time(tx.connection, version_at=version_at, revision=revision)


def place_of(tx: Tx, batch_id: int) -> tuple[datetime | None, str | None]:
    """The time and the prior of a batch."""
    version_at, prior_sync_id = _sql.place_of(tx.connection, batch_id=batch_id)
    return version_at, prior_sync_id


def revise(tx: Tx, batch_id: int, version_at: datetime | None, prior_sync_id: str | None) -> None:
    """Has all batches of a time imported again if one, whose time and prior these were, makes some follow fewer."""
    if version_at is not None:
        _sql.revise(tx.connection, batch_id=batch_id, version_at=version_at, prior_sync_id=prior_sync_id)


def has_others(tx: Tx, version_at: datetime, batch_id: int) -> bool:
    """Whether the import of another batch of a time began."""
    return bool(_sql.has_others(tx.connection, version_at=version_at, batch_id=batch_id))


def imported_order(tx: Tx, batch_id: int) -> Order | None:
    """What the last import of a batch rested on; None where a sweep must not queue it because of its order."""
    found = _sql.imported_order(tx.connection, batch_id=batch_id)
    return None if found is None else Order(*found)


def has_moved(tx: Tx, batch_id: int, now: Version) -> bool:
    """Whether the version of a batch was another one when its last import began."""
    completed_at, generation = _sql.imported_version(tx.connection, batch_id=batch_id)
    return generation is not None and (completed_at, generation) != (now.completed_at, now.generation)


def begin_import(tx: Tx, batch_id: int, version: Version, revision: int, *, of_all: bool) -> None:
    """Records that the present manifest is being imported, and the version if that is of all that it says."""
    at, generation = version.completed_at, version.generation
    _sql.begin_import(
        tx.connection, batch_id=batch_id, completed_at=at, generation=generation, revision=revision, of_all=of_all
    )


def reader(tx: Tx, incoming: Version, writers: Iterable[tuple[Any, Any]]) -> Reader:
    """Makes versions of the columns of rows. Generations are read only where rows tie with `incoming` on time."""
    distinct = {(at, by) for at, by in writers if at and by}
    ties = {by for at, by in distinct if at == incoming.completed_at and by != incoming.sync_id}
    following = generations(tx, sorted(ties))
    known = {(at, by): Version(at, by, following.get(by, 0)) for at, by in distinct}
    return lambda at, by: known.get((at, by))


def is_of(version: Version | None, bundle: Version) -> bool:
    """Whether a row is of this bundle and time: of its own rows no generation is read."""
    return pair(version) == pair(bundle)


def pair(version: Version | None) -> tuple[Any, str | None]:
    return (version.completed_at, version.sync_id) if version else (None, None)

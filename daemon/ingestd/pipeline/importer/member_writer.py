"""The members of locked galleries and collections, set-wise, in the caller's transaction.

Only the memberships that a list names are read, unless it is complete. Assets are locked in order of hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ingestd import decide
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.library_records import Member, StoredContainer
from ingestd.model import Action, Decision, Version
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import library
from ingestd.store.db import Tx

MAX_STORED = 20_000
"""memberships that are read of several containers together, apart from those that lists name"""
Known = dict[str, tuple[int, bool]]
"""assets by hash: the id, and whether it is live"""

Stored = dict[tuple[str, int], dict[int, Member]]
"""memberships by the type and id of their container, and the id of the asset"""


class TooManyMembers(Exception):
    """Several containers have more members than are read together; each of them alone may have any number."""


@dataclass(frozen=True, slots=True)
class LockedContainer:
    """A container whose row is locked: as the bundle found it (None: it is new), and as the bundle leaves it."""

    container: Container
    id: int
    stored: StoredContainer | None
    after: StoredContainer

    @property
    def written_by(self) -> str | None:
        """The sync_id of the bundle that wrote the row before."""
        version = None if self.stored is None else self.stored.version
        return None if version is None else version.sync_id

    @property
    def differs(self) -> bool:
        """Whether readers see another row than before."""
        before = self.stored
        return before is None or (self.after.title, self.after.deleted) != (before.title, before.deleted)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a bundle changes in a container: members to write (hash, position) and to remove (asset id)."""

    new: Sequence[tuple[str, int]] = ()
    """those without a row"""
    writes: Sequence[tuple[str, int]] = ()
    renewals: Sequence[tuple[str, int]] = ()
    """memberships that a newer list repeats: unchanged, but an older list must not undo them any more"""
    removals: Sequence[int] = ()
    hidden: Sequence[int] = ()
    """assets that the container no longer shows, if they are live"""
    missing: Sequence[str] = ()
    """hashes of named members that are not live"""

    @property
    def differ(self) -> bool:
        """Whether the list changes members or their places."""
        return bool(self.new or self.writes or self.removals)


def write(tx: Tx, bundle: Bundle, locked: Sequence[LockedContainer], removed: RemovalCount) -> Sequence[Changes]:
    """Writes the members of some containers; returns what that changed in each.

    The assets that go out of sight are locked: what is counted of them must hold.
    """
    if bundle.action is Action.REMOVE:
        changes = _removals(tx, bundle.version, locked)
        _count(tx, changes, _lock(tx, changes, {}), removed)
        return changes
    known = library.named(tx, sorted({hash_ for one in locked for hash_ in one.container.members}))
    changes = _changes(tx, bundle.version, locked, known)
    _count(tx, changes, _lock(tx, changes, known), removed)
    _insert_absent(tx, locked, known)
    for kind in sorted(CONTAINER_TYPES):
        parts = [(one.id, change) for one, change in zip(locked, changes, strict=True) if one.container.type == kind]
        _write_kind(tx, kind, bundle.version, parts, known)
    return [
        replace(change, missing=_missing(one.container, known)) for one, change in zip(locked, changes, strict=True)
    ]


def _lock(tx: Tx, changes: Sequence[Changes], known: Known) -> set[int]:
    """Locks assets that may go out of sight, and named ones that are not live; returns the ids of the live ones.

    What is counted of the former must hold, and who makes one of the latter live must find the container that waits
    for it. They are locked together with those that new memberships will lock.
    """
    hidden = sorted({asset_id for change in changes for asset_id in change.hidden})
    absent = [hash_ for hash_, (_, is_live) in known.items() if not is_live]
    if not hidden and not absent:
        return set()
    new = [hash_ for change in changes for hash_, _ in change.new if hash_ in known]
    found = library.lock_named(tx, {*library.hashes_of(tx, hidden), *absent, *new})
    known.update(found)
    return {id_ for id_, is_live in found.values() if is_live}


def _count(tx: Tx, changes: Sequence[Changes], live: set[int], removed: RemovalCount) -> None:
    removed.add(tx, Removals(members=sum(id_ in live for change in changes for id_ in change.hidden)))


def _insert_absent(tx: Tx, locked: Sequence[LockedContainer], known: Known) -> None:
    """Inserts rows for named assets that have none, so that their places are known."""
    absent = sorted({hash_ for one in locked for hash_ in one.container.members if hash_ not in known})
    if absent:
        library.insert_named(tx, absent)
        known.update(library.named(tx, absent))


def _missing(container: Container, known: Known) -> Sequence[str]:
    return [hash_ for hash_ in container.members if not known[hash_][1]]


def _write_kind(tx: Tx, kind: str, version: Version, parts: Sequence[tuple[int, Changes]], known: Known) -> None:
    """In order of the hashes of assets: a new membership locks its asset."""
    new = sorted((hash_, id_, position) for id_, change in parts for hash_, position in change.new)
    library.add_members(tx, kind, version, [(id_, known[hash_][0], position) for hash_, id_, position in new])
    changed = sorted((id_, known[hash_][0], at) for id_, c in parts for hash_, at in (*c.writes, *c.renewals))
    library.write_members(tx, kind, version, changed)
    library.remove_members(tx, kind, version, [(id_, asset_id) for id_, c in parts for asset_id in c.removals])


def _removals(tx: Tx, version: Version, locked: Sequence[LockedContainer]) -> Sequence[Changes]:
    """The members of removed containers go out of sight with them, although their rows stay as they are."""
    removing = [one for one in locked if _is_removed(version, one)]
    stored = _whole(tx, version, removing)
    return [Changes(hidden=[id_ for id_, m in _of(one, stored).items() if not m.deleted]) for one in locked]


def _is_removed(version: Version, one: LockedContainer) -> bool:
    verdict = decide.decide_container(Action.REMOVE, version, one.stored, False, ())
    return one.stored is not None and verdict.decision is Decision.REMOVED


def _changes(tx: Tx, version: Version, locked: Sequence[LockedContainer], known: Known) -> Sequence[Changes]:
    existing = [one for one in locked if one.stored is not None]
    stored = _named(tx, version, [one for one in existing if not one.container.complete], known)
    stored |= _whole(tx, version, [one for one in existing if one.container.complete])
    return [_compare(version, one, known, _of(one, stored)) for one in locked]


def _of(one: LockedContainer, stored: Stored) -> Mapping[int, Member]:
    return stored.get((one.container.type, one.id), {})


def _whole(tx: Tx, version: Version, containers: Sequence[LockedContainer]) -> Stored:
    """All memberships of some containers. Raises TooManyMembers, unless it is only one container."""
    limit = MAX_STORED if len(containers) > 1 else library.MAX_ROWS
    found: Stored = {}
    for kind in sorted(CONTAINER_TYPES):
        ids = [one.id for one in containers if one.container.type == kind]
        of_kind = library.members(tx, kind, ids, version, limit)
        found |= {(kind, id_): members for id_, members in of_kind.items()}
    if sum(map(len, found.values())) >= limit:
        raise TooManyMembers
    return found


def _named(tx: Tx, version: Version, containers: Sequence[LockedContainer], known: Known) -> Stored:
    """Those memberships of some containers that the lists name."""
    found: Stored = {}
    for kind in sorted(CONTAINER_TYPES):
        of_kind = [one for one in containers if one.container.type == kind]
        pairs = [(one.id, known[hash_][0]) for one in of_kind for hash_ in one.container.members if hash_ in known]
        members_by_id = library.named_members(tx, kind, pairs, version)
        found |= {(kind, id_): members for id_, members in members_by_id.items()}
    return found


def _compare(version: Version, one: LockedContainer, known: Known, members: Mapping[int, Member]) -> Changes:
    complete = None if one.stored is None else one.stored.complete
    new, writes, renewals = [], [], []
    for position, hash_ in enumerate(one.container.members):
        member = members.get(known[hash_][0]) if hash_ in known else None
        if not decide.member_may_be_written(version, member, complete):
            continue
        if member is None:
            new.append((hash_, position))
        elif member.deleted or member.position != position:
            writes.append((hash_, position))
        elif decide.advances(version, member.version):
            renewals.append((hash_, position))
    gone = _gone(version, one.container, known, members)
    hidden = () if one.stored is None or one.stored.deleted else gone
    return Changes(new, writes, renewals, gone, hidden)


def _gone(version: Version, container: Container, known: Known, members: Mapping[int, Member]) -> Sequence[int]:
    """The members that a complete list takes away; of others only the memberships that they name are known here."""
    wanted = {known[hash_][0] for hash_ in container.members if hash_ in known}
    return sorted(id_ for id_, member in members.items() if id_ not in wanted and _may_go(version, member))


def _may_go(version: Version, member: Member) -> bool:
    return not member.deleted and not decide.is_older(version, member.version)

"""Galleries and collections, set-wise, in the caller's transaction: their rows, members, decisions and ledger events.

Every writer takes locks in the same order: containers by type and hash, then assets by hash.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestd import decide
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.library_records import StoredContainer
from ingestd.model import Action, Decision, Reason, Verdict, Version
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer import member_writer
from ingestd.pipeline.importer.member_writer import Changes, LockedContainer
from ingestd.pipeline.removals import RemovalCount
from ingestd.store import batch_container, ledger, library
from ingestd.store.batch_container import OpenContainer
from ingestd.store.db import Tx

Rows = Mapping[tuple[str, str], LockedContainer]
"""locked containers by type and hash"""


@dataclass(frozen=True, slots=True)
class ListedContainer:
    """A container that a run takes up: its row, and what the manifest says about it."""

    row: OpenContainer
    container: Container


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided of a container: its verdict, row, hashes of members that are not live; whose statement holds."""

    verdict: Verdict
    targets: Mapping[str, Any] = field(default_factory=dict)
    missing: Sequence[str] = ()
    superseded_by: str | None = None


def write(tx: Tx, bundle: Bundle, listed: Sequence[ListedContainer], removed: RemovalCount) -> None:
    """Writes some containers, their decisions and their ledger events.

    Raises RemovalRefused when they would take more members out of sight than allowed, and TooManyMembers when several
    have too many for one transaction.
    """
    rows = write_rows(tx, bundle, [one.container for one in listed])
    write_members(tx, bundle, listed, rows, removed)


def write_rows(tx: Tx, bundle: Bundle, containers: list[Container]) -> Rows:
    """Locks the rows of containers and brings them up to date; inserts those of new ones. Their members come later."""
    rows: dict[tuple[str, str], LockedContainer] = {}
    for kind in sorted(CONTAINER_TYPES):
        named = {container.hash: container for container in containers if _is_usable(container, kind)}
        for one in _write_kind(tx, bundle, kind, [named[hash_] for hash_ in sorted(named)]):
            rows[one.container.identity] = one
    return rows


def _is_usable(container: Container, kind: str) -> bool:
    return container.type == kind and container.problem is None


def _write_kind(tx: Tx, bundle: Bundle, kind: str, containers: Sequence[Container]) -> Iterable[LockedContainer]:
    known = library.lock_containers(tx, kind, [container.hash for container in containers], bundle.version)
    after = {container.hash: _row_after(bundle, container, known.get(container.hash)) for container in containers}
    # INSERT never overwrites: if another writer inserted one of them meanwhile, this transaction runs again.
    ids = library.insert_containers(tx, kind, [row for hash_, row in after.items() if hash_ not in known])
    library.update_containers(tx, kind, [after[hash_] for hash_, row in known.items() if after[hash_] != row])
    for container in containers:
        stored = known.get(container.hash)
        id_ = ids[container.hash] if stored is None else stored.id
        yield LockedContainer(container, id_, stored, after[container.hash])


def write_members(tx: Tx, bundle: Bundle, listed: Sequence[ListedContainer], rows: Rows, removed: RemovalCount) -> None:
    """Writes the members of containers whose rows are written, and what was decided of each container."""
    changes = member_writer.write(tx, bundle, list(rows.values()), removed)
    of_each = dict(zip(rows, changes, strict=True))
    record(tx, removed.batch_id, [(one, _outcome(bundle, one, rows, of_each)) for one in listed])


def _outcome(
    bundle: Bundle, listed: ListedContainer, rows: Rows, changes: Mapping[tuple[str, str], Changes]
) -> Outcome:
    container = listed.container
    if container.problem is not None:
        return Outcome(Verdict(Decision.FAILED, error=container.problem))
    if container.type not in CONTAINER_TYPES:
        return Outcome(Verdict(Decision.IGNORED))
    row, change = rows[container.identity], changes[container.identity]
    verdict = decide.decide_container(
        bundle.action, bundle.version, row.stored, change.differ or row.differs, change.missing
    )
    if listed.row.is_deferred and verdict.reason is Reason.UNCHANGED:
        # It was written when it was deferred; now readers see all of it.
        verdict = Verdict(Decision.UPDATED)
    return Outcome(verdict, {f"{container.type}_id": row.id}, change.missing, row.written_by)


def _row_after(bundle: Bundle, container: Container, stored: StoredContainer | None) -> StoredContainer:
    """The container's own row after a bundle; `stored` is None for a new one."""
    is_removal = bundle.action is Action.REMOVE
    before = stored or StoredContainer(0, container.hash, None, is_removal, None, None, None)
    after = _removed if is_removal else _listed
    return after(bundle.version, container, before)


def _removed(version: Version, _container: Container, before: StoredContainer) -> StoredContainer:
    is_older = decide.is_older(version, before.version)
    return before if is_older else replace(before, version=version, deleted=True)


def _listed(version: Version, container: Container, before: StoredContainer) -> StoredContainer:
    """The row after a list: that the container is there, its title, and which complete list counts."""
    after = before
    if not decide.is_older(version, before.version):
        after = replace(after, version=version, deleted=False)
    if container.title is not None and not decide.is_older(version, before.titled):
        after = replace(after, titled=version, title=container.title)
    if container.complete and not decide.is_older(version, before.complete):
        after = replace(after, complete=version)
    return after


def record(tx: Tx, batch_id: int, outcomes: Sequence[tuple[ListedContainer, Outcome]]) -> None:
    """Records the decisions of containers, and appends their ledger events in the same order."""
    batch_container.decide(tx, [(one.row.id, out.verdict, out.targets, out.missing) for one, out in outcomes])
    batch_container.forget_missing(tx, [one.row.id for one, _ in outcomes if one.row.is_deferred])
    deferred = [(one.row.id, out.missing) for one, out in outcomes if out.verdict.decision is Decision.DEFERRED]
    batch_container.note_missing(tx, batch_id, [(id_, hash_) for id_, missing in deferred for hash_ in sorted(missing)])
    events = [(f"container_{out.verdict.decision}", _payload(one.container, out)) for one, out in outcomes]
    ledger.append_many(tx, batch_id, events)


def _payload(container: Container, outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    payload: dict[str, Any] = {
        "phase": "container_import",
        "type": container.type,
        "hash": container.hash,
        "error": verdict.error,
        "target_ids": outcome.targets,
    }
    if verdict.reason is not None:
        payload["reason"] = verdict.reason
    if verdict.reason is Reason.SUPERSEDED:
        payload["superseded_by"] = outcome.superseded_by
    return payload

"""One gallery or collection: its row, its members and their order, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestd import decide
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.library_records import Member, StoredContainer
from ingestd.model import Action, Decision, Reason, Verdict, Version
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import item, ledger, library
from ingestd.store.db import Tx
from ingestd.store.item import OpenContainer


@dataclass(frozen=True, slots=True)
class Changes:
    """What a list changes: memberships to write (asset id, position), members to remove; hashes that are not live."""

    writes: Sequence[tuple[int, int]]
    renewals: Sequence[tuple[int, int]]
    """memberships that a newer list repeats: unchanged, but an older list must not undo them any more"""
    removals: Sequence[int]
    missing: Sequence[str] = ()
    seen: int = 0
    """how many of the removed members have live assets"""

    @property
    def differ(self) -> bool:
        """Whether the list changes members or their places."""
        return bool(self.writes or self.removals)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided of a container: its verdict, row, hashes of members that are not live; whose statement holds."""

    verdict: Verdict
    targets: Mapping[str, Any] = field(default_factory=dict)
    missing: Sequence[str] = ()
    superseded_by: str | None = None


def write(
    tx: Tx, batch_id: int, row: OpenContainer, bundle: Bundle, container: Container, removed: RemovalCount
) -> Verdict:
    """Decides and writes one container, its decision and its ledger event.

    Raises RemovalRefused when it would take more members out of sight than allowed.
    """
    outcome = _write(tx, bundle, container, removed)
    if row.is_deferred and outcome.verdict.reason is Reason.UNCHANGED:
        # It was written when it was deferred; now readers see all of it.
        outcome = replace(outcome, verdict=Verdict(Decision.UPDATED))
    if row.is_deferred:
        item.forget_missing(tx, row.id)
    if outcome.verdict.decision is Decision.DEFERRED:
        item.note_missing(tx, batch_id, row.id, outcome.missing)
    record(tx, batch_id, row.id, container, outcome)
    return outcome.verdict


def record(tx: Tx, batch_id: int, row_id: int, container: Container, outcome: Outcome) -> None:
    """Records the decision of a container, and appends its ledger event."""
    verdict = outcome.verdict
    item.decide_container(tx, row_id, verdict, outcome.targets, outcome.missing)
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
    ledger.append(tx, batch_id, f"container_{verdict.decision}", **payload)


def _write(tx: Tx, bundle: Bundle, container: Container, removed: RemovalCount) -> Outcome:
    if container.problem is not None:
        return Outcome(Verdict(Decision.FAILED, error=container.problem))
    if container.type not in CONTAINER_TYPES:
        return Outcome(Verdict(Decision.IGNORED))
    stored = library.lock_container(tx, container.type, container.hash, bundle.version)
    if bundle.action is Action.REMOVE:
        return _remove(tx, bundle, container, stored, removed)
    before = stored or StoredContainer(0, container.hash, None, False, None, None, None)
    after = _row_after(bundle.version, container, before)
    changes = _changes(tx, bundle.version, container, before)
    differs = stored is None or changes.differ or (after.title, after.deleted) != (before.title, before.deleted)
    verdict = decide.decide_container(bundle.action, bundle.version, stored, differs, changes.missing)
    if not before.deleted:
        removed.add(tx, Removals(members=changes.seen))
    id_ = _write_row(tx, container.type, stored, after)
    library.write_members(tx, container.type, id_, bundle.version, sorted([*changes.writes, *changes.renewals]))
    library.remove_members(tx, container.type, id_, bundle.version, changes.removals)
    return Outcome(verdict, {f"{container.type}_id": id_}, changes.missing, _writer(before))


def _remove(
    tx: Tx, bundle: Bundle, container: Container, stored: StoredContainer | None, removed: RemovalCount
) -> Outcome:
    verdict = decide.decide_container(bundle.action, bundle.version, stored, False, ())
    kind, version = container.type, bundle.version
    before = stored or StoredContainer(0, container.hash, None, True, None, None, None)
    if stored is not None and verdict.decision is Decision.REMOVED:
        # Its members go out of sight with it, although their rows stay as they are.
        members = library.members(tx, kind, stored.id, version).values()
        seen = library.lock_live(tx, [member.asset_id for member in members if not member.deleted])
        removed.add(tx, Removals(members=len(seen)))
    is_older = decide.is_older(version, before.version)
    id_ = _write_row(tx, kind, stored, before if is_older else replace(before, version=version, deleted=True))
    return Outcome(verdict, {f"{kind}_id": id_}, (), _writer(before))


def _writer(stored: StoredContainer) -> str | None:
    return None if stored.version is None else stored.version.sync_id


def _row_after(version: Version, container: Container, before: StoredContainer) -> StoredContainer:
    """The container's own row after a list: that it is there, its title, and which complete list counts."""
    after = before
    if not decide.is_older(version, before.version):
        after = replace(after, version=version, deleted=False)
    if container.title is not None and not decide.is_older(version, before.titled):
        after = replace(after, titled=version, title=container.title)
    if container.complete and not decide.is_older(version, before.complete):
        after = replace(after, complete=version)
    return after


def _write_row(tx: Tx, kind: str, stored: StoredContainer | None, after: StoredContainer) -> int:
    if stored is None:
        return library.insert_container(tx, kind, after)
    if after != stored:
        library.update_container(tx, kind, after)
    return stored.id


def _changes(tx: Tx, version: Version, container: Container, before: StoredContainer) -> Changes:
    """What a list changes. Members that have no row as assets get one, so that their places are known.

    The assets whose membership goes are locked: what is counted of them must hold. So are those that are not live: who
    makes one live must find the container that waits for it.
    """
    named = library.named(tx, container.members)
    absent = set(container.members) - named.keys()
    if absent:
        library.insert_named(tx, absent)
        named |= library.named(tx, sorted(absent))
    if not all(is_live for _, is_live in named.values()):
        named |= library.lock_named(tx, {hash_ for hash_, (_, is_live) in named.items() if not is_live})
    missing = [hash_ for hash_ in container.members if not named[hash_][1]]
    wanted = {named[hash_][0]: position for position, hash_ in enumerate(container.members)}
    members = library.members(tx, container.type, before.id, version) if before.id else {}
    changes = _compare(version, container, before, wanted, members)
    seen = library.lock_live(tx, changes.removals) if changes.removals else ()
    return replace(changes, missing=missing, seen=len(seen))


def _compare(
    version: Version,
    container: Container,
    before: StoredContainer,
    wanted: Mapping[int, int],
    members: Mapping[int, Member],
) -> Changes:
    writes, renewals = [], []
    for asset_id, position in sorted(wanted.items()):
        member = members.get(asset_id)
        if not decide.member_may_be_written(version, member, before.complete):
            continue
        if member is None or member.deleted or member.position != position:
            writes.append((asset_id, position))
        elif decide.advances(version, member.version):
            renewals.append((asset_id, position))
    gone = sorted(id_ for id_, member in members.items() if id_ not in wanted and _may_go(version, container, member))
    return Changes(writes, renewals, gone)


def _may_go(version: Version, container: Container, member: Member) -> bool:
    return container.complete and not member.deleted and not decide.is_older(version, member.version)

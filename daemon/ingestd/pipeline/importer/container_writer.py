"""One gallery or collection: its row, its members and their order, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingestd import decide
from ingestd.format.container import CONTAINER_TYPES, Container
from ingestd.model import Action, Decision, Member, StoredContainer, Verdict, Version
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import item, ledger, library
from ingestd.store.db import Tx


@dataclass(frozen=True, slots=True)
class Changes:
    """What a list changes: memberships to write (asset id, position), members to remove, hashes that are missing."""

    writes: Sequence[tuple[int, int]]
    renewals: Sequence[tuple[int, int]]
    """memberships that a newer list repeats: unchanged, but an older list must not undo them any more"""
    removals: Sequence[int]
    missing: Sequence[str]
    seen: int = 0
    """how many of the removed members have live assets"""


def write(tx: Tx, batch_id: int, row_id: int, bundle: Bundle, container: Container, removed: RemovalCount) -> Verdict:
    """Decides and writes one container, its decision and its ledger event.

    Raises RemovalRefused when it would take more members out of sight than allowed.
    """
    verdict, targets, missing = _write(tx, bundle, container, removed)
    record(tx, batch_id, row_id, container, verdict, targets, missing)
    return verdict


def record(
    tx: Tx,
    batch_id: int,
    row_id: int,
    container: Container,
    verdict: Verdict,
    targets: dict[str, Any],
    missing: Sequence[str] = (),
) -> None:
    """Records the decision of a container, and appends its ledger event."""
    item.decide_container(tx, row_id, verdict, targets, missing)
    payload: dict[str, Any] = {
        "phase": "container_import",
        "type": container.type,
        "hash": container.hash,
        "error": verdict.error,
        "target_ids": targets,
    }
    if verdict.reason is not None:
        payload["reason"] = verdict.reason
    ledger.append(tx, batch_id, f"container_{verdict.decision}", **payload)


def _write(
    tx: Tx, bundle: Bundle, container: Container, removed: RemovalCount
) -> tuple[Verdict, dict[str, Any], Sequence[str]]:
    if container.problem is not None:
        return Verdict(Decision.FAILED, error=container.problem), {}, ()
    if container.type not in CONTAINER_TYPES:
        return Verdict(Decision.IGNORED), {}, ()
    stored = library.lock_container(tx, container.type, container.hash, bundle.version)
    if bundle.action is Action.REMOVE:
        return _remove(tx, bundle, container, stored, removed)
    changes = _changes(tx, bundle.version, container, stored)
    differs = bool(changes.writes or changes.removals or _row_differs(bundle.version, container, stored))
    verdict = decide.decide_container(bundle.action, bundle.version, stored, differs, changes.missing)
    if stored is not None and not stored.deleted:
        removed.add(tx, Removals(members=changes.seen))
    id_ = _write_row(tx, bundle.version, container, stored, differs or verdict.advances)
    library.write_members(tx, container.type, id_, bundle.version, sorted([*changes.writes, *changes.renewals]))
    library.remove_members(tx, container.type, id_, bundle.version, changes.removals)
    return verdict, {f"{container.type}_id": id_}, changes.missing


def _remove(
    tx: Tx, bundle: Bundle, container: Container, stored: StoredContainer | None, removed: RemovalCount
) -> tuple[Verdict, dict[str, Any], Sequence[str]]:
    verdict = decide.decide_container(bundle.action, bundle.version, stored, False, ())
    kind, version = container.type, bundle.version
    if stored is None:
        id_ = library.insert_container(tx, kind, container.hash, container.title, version, None, deleted=True)
    else:
        id_ = stored.id
        if verdict.decision is Decision.REMOVED:
            # Its members go out of sight with it, although their rows stay as they are.
            members = library.members(tx, kind, id_, version).values()
            seen = library.lock_live(tx, [member.asset_id for member in members if not member.deleted])
            removed.add(tx, Removals(members=len(seen)))
        if verdict.decision is Decision.REMOVED or verdict.advances:
            library.update_container(tx, kind, id_, stored.title, version, stored.complete, deleted=True)
    return verdict, {f"{kind}_id": id_}, ()


def _changes(tx: Tx, version: Version, container: Container, stored: StoredContainer | None) -> Changes:
    """What a list changes. The assets whose membership goes are locked: what is counted of them must hold."""
    live = library.live_assets(tx, container.members)
    members = library.members(tx, container.type, stored.id, version) if stored else {}
    changes = _compare(version, container, stored, members, live)
    if not changes.removals:
        return changes
    seen = library.lock_live(tx, changes.removals)
    listed = set(container.members)
    returned = {hash_: id_ for hash_, id_ in seen.items() if hash_ in listed}
    changes = _compare(version, container, stored, members, {**live, **returned})
    return replace(changes, seen=len(set(changes.removals).intersection(seen.values())))


def _compare(
    version: Version,
    container: Container,
    stored: StoredContainer | None,
    members: Mapping[int, Member],
    live: Mapping[str, int],
) -> Changes:
    wanted = {live[hash_]: position for position, hash_ in enumerate(container.members) if hash_ in live}
    missing = [hash_ for hash_ in container.members if hash_ not in live]
    complete = stored.complete if stored else None
    writes, renewals = [], []
    for asset_id, position in sorted(wanted.items()):
        member = members.get(asset_id)
        if not decide.member_may_be_written(version, member, complete):
            continue
        if member is None or member.deleted or member.position != position:
            writes.append((asset_id, position))
        elif decide.advances(version, member.version):
            renewals.append((asset_id, position))
    gone = sorted(id_ for id_, member in members.items() if id_ not in wanted and _may_go(version, container, member))
    return Changes(writes, renewals, gone, missing)


def _may_go(version: Version, container: Container, member: Member) -> bool:
    return container.complete and not member.deleted and not decide.is_older(version, member.version)


def _row_differs(version: Version, container: Container, stored: StoredContainer | None) -> bool:
    if stored is None:
        return True
    if decide.is_older(version, stored.version):
        return False
    return stored.deleted or (container.title is not None and container.title != stored.title)


def _write_row(tx: Tx, version: Version, container: Container, stored: StoredContainer | None, is_writer: bool) -> int:
    """Writes the container's own row; a list without a title keeps the present one. Returns the row's id."""
    kind = container.type
    complete = version if container.complete else None
    if stored is None:
        return library.insert_container(tx, kind, container.hash, container.title, version, complete, deleted=False)
    if not container.complete or decide.is_older(version, stored.complete):
        complete = stored.complete
    older = decide.is_older(version, stored.version)
    last, title = (stored.version, stored.title) if older else (version, container.title or stored.title)
    if is_writer or complete != stored.complete:
        library.update_container(
            tx, kind, stored.id, title, last or version, complete, deleted=older and stored.deleted
        )
    return stored.id

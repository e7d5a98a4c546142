"""The rules of decision: stored rows and delivered entries in, verdicts out. Pure.

The importer applies them to locked rows; the pre-flight uses them for its forecast.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ingestd.model import (
    SUCCEEDED,
    Action,
    BatchStatus,
    Decision,
    Member,
    Reason,
    StoredAsset,
    StoredContainer,
    StoredCover,
    Verdict,
    Version,
)
from ingestd.wording import counted


def is_older(incoming: Version, row: Version | None) -> bool:
    """Whether a bundle must not overwrite a row, because a newer bundle wrote it last."""
    if row is None or incoming.sync_id == row.sync_id:
        return False
    if incoming.completed_at != row.completed_at:
        return incoming.completed_at < row.completed_at
    names, is_named = incoming.prior == row.sync_id, row.prior == incoming.sync_id
    if names != is_named:
        return is_named
    return incoming.sync_id < row.sync_id


def advances(incoming: Version, row: Version | None) -> bool:
    """Whether an identical delivery makes the incoming bundle the last writer of the row."""
    if row is None:
        return True
    same_writer = (incoming.completed_at, incoming.sync_id) == (row.completed_at, row.sync_id)
    return not same_writer and not is_older(incoming, row)


def places_by_version(versions: Iterable[Version], sync_ids: Sequence[str]) -> list[int]:
    """The places, in `sync_ids`, of batches in order of version; those without a version come last."""
    ranks = {sync_id: rank for rank, sync_id in enumerate(oldest_first(versions))}
    return sorted(range(len(sync_ids)), key=lambda place: ranks.get(sync_ids[place], len(ranks)))


def oldest_first(versions: Iterable[Version]) -> list[str]:
    """sync_ids in order of version: by time; at equal times after the batch that it names as prior, then by sync_id."""
    known = {version.sync_id: version for version in sorted(versions, key=lambda v: (v.completed_at, v.sync_id))}
    placed: dict[str, None] = {}
    for version in known.values():
        chain: dict[str, None] = {}
        following: Version | None = version
        while following and following.sync_id not in placed and following.sync_id not in chain:
            chain[following.sync_id] = None
            prior = known.get(following.prior or "")
            following = prior if prior and prior.completed_at == following.completed_at else None
        placed.update(reversed(chain.items()))
    return list(placed)


def skip(incoming: Version, row: Version | None) -> Verdict:
    return Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=advances(incoming, row))


CREATED = Verdict(Decision.CREATED)
SUPERSEDED = Verdict(Decision.SKIPPED, Reason.SUPERSEDED)
TOMBSTONED = Verdict(Decision.SKIPPED, Reason.TOMBSTONED)


def decide_asset(
    action: Action,
    asset_type: str,
    entry_sha256: str,
    documents_sha256: str | None,
    incoming: Version,
    stored: StoredAsset | None,
    *,
    cover_differs: bool,
) -> Verdict:
    """The verdict on an asset. `documents_sha256` None: not read yet, as in a forecast; counts as unchanged.

    `cover_differs`: the entry itself names a cover, and another one is linked.
    """
    if stored is None:
        return _decide_absent(action)
    if stored.asset_type != asset_type:
        error = f"hash {stored.hash} is known as {stored.asset_type}, delivered as {asset_type}"
        return Verdict(Decision.FAILED, Reason.TYPE_CONFLICT, error)
    if is_older(incoming, stored.version):
        return SUPERSEDED
    if action is Action.REMOVE:
        return skip(incoming, stored.version) if stored.deleted else Verdict(Decision.REMOVED)
    identical = (
        not stored.deleted
        and stored.entry_sha256 == entry_sha256
        and documents_sha256 in (None, stored.documents_sha256)
        and not cover_differs
    )
    return skip(incoming, stored.version) if identical else Verdict(Decision.UPDATED)


def _decide_absent(action: Action) -> Verdict:
    return TOMBSTONED if action is Action.REMOVE else CREATED


def decide_cover(
    action: Action, wanted: StoredCover, parent_hash: str, parent: StoredAsset | None, stored: StoredCover | None
) -> Verdict:
    """The verdict on a cover item. `wanted` is the delivered cover, with the version of its bundle."""
    assert wanted.version is not None
    if action is Action.REMOVE:
        return _decide_cover_removal(wanted, wanted.version, parent, stored)
    if parent is None or parent.deleted:
        return Verdict(Decision.DEFERRED, Reason.PARENT_MISSING, f"parent {parent_hash} is not live", parent_hash)
    if stored is None:
        return Verdict(Decision.LINKED)
    if is_older(wanted.version, stored.version):
        return SUPERSEDED
    same = (stored.cover_hash, stored.path, stored.bytes, stored.sha256) == (
        wanted.cover_hash,
        wanted.path,
        wanted.bytes,
        wanted.sha256,
    )
    return skip(wanted.version, stored.version) if same and not stored.deleted else Verdict(Decision.LINKED)


def _decide_cover_removal(
    wanted: StoredCover, incoming: Version, parent: StoredAsset | None, stored: StoredCover | None
) -> Verdict:
    if parent is None:
        return Verdict(Decision.SKIPPED, Reason.ABSENT)
    if stored is None:
        return TOMBSTONED
    if is_older(incoming, stored.version):
        return SUPERSEDED
    if stored.cover_hash != wanted.cover_hash:
        return Verdict(Decision.SKIPPED, Reason.ABSENT)
    return skip(incoming, stored.version) if stored.deleted else Verdict(Decision.REMOVED)


def decide_container(
    action: Action, incoming: Version, stored: StoredContainer | None, changes: bool, missing: Collection[str]
) -> Verdict:
    """The verdict on a container. `changes`: its title or members differ from the stored ones.

    `missing`: hashes of members that are not live in the library.
    """
    if action is Action.REMOVE:
        return _decide_container_removal(incoming, stored)
    if missing:
        error = f"{counted(len(missing), 'member')} not live in the library yet"
        return Verdict(Decision.DEFERRED, Reason.MEMBERS_MISSING, error)
    if stored is None:
        return Verdict(Decision.CREATED)
    if changes:
        return Verdict(Decision.UPDATED)
    return SUPERSEDED if is_older(incoming, stored.version) else skip(incoming, stored.version)


def _decide_container_removal(incoming: Version, stored: StoredContainer | None) -> Verdict:
    if stored is None:
        return TOMBSTONED
    if is_older(incoming, stored.version):
        return SUPERSEDED
    return skip(incoming, stored.version) if stored.deleted else Verdict(Decision.REMOVED)


def member_may_be_written(incoming: Version, member: Member | None, complete: Version | None) -> bool:
    """Whether a list may write a member: a late list may add members, but must not overwrite a newer list."""
    if member is not None:
        return not is_older(incoming, member.version)
    return not is_older(incoming, complete)


def batch_status(planned: bool, counts: Mapping[str, int], *, finished: bool) -> BatchStatus:
    """Status of a consumable batch without an active job, from its item and container decisions.

    `finished`: a run has ended, so an empty batch is imported, not ready. A batch with anything undecided is
    ready, whatever was decided of the rest: it was delivered again, or its import was interrupted.
    """
    if not planned:
        return BatchStatus.NEW
    if not any(counts.values()):
        return BatchStatus.IMPORTED if finished else BatchStatus.READY
    succeeded = sum(counts.get(decision, 0) for decision in (*SUCCEEDED, Decision.IGNORED))
    needs_attention = counts.get(Decision.FAILED, 0) + counts.get(Decision.DEFERRED, 0)
    undecided = sum(counts.values()) - succeeded - needs_attention
    if undecided:
        return BatchStatus.READY
    if not needs_attention:
        return BatchStatus.IMPORTED
    return BatchStatus.PARTIAL if succeeded else BatchStatus.FAILED

"""The rules of decision: stored rows and delivered entries in, verdicts out. Pure.

The importer applies them to locked rows; the pre-flight uses them for its forecast.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from ingestd.library_records import Covers, Member, StoredAsset, StoredContainer
from ingestd.model import MAX_GENERATION, SUCCEEDED, Action, BatchStatus, Decision, Reason, Verdict, Version
from ingestd.wording import counted


def is_older(incoming: Version, row: Version | None) -> bool:
    """Whether a bundle must not overwrite a row, because a newer bundle wrote it last."""
    if row is None or incoming.sync_id == row.sync_id:
        return False
    if incoming.completed_at != row.completed_at:
        return incoming.completed_at < row.completed_at
    return age(incoming) < age(row)


def age(version: Version) -> tuple[datetime, int, str]:
    """What versions are compared by: time; at equal times the number of those that it follows; at last sync_id."""
    return (version.completed_at, version.generation, version.sync_id)


def advances(incoming: Version, row: Version | None) -> bool:
    """Whether an identical delivery makes the incoming bundle the last writer of the row."""
    if row is None:
        return True
    same_writer = (incoming.completed_at, incoming.sync_id) == (row.completed_at, row.sync_id)
    return not same_writer and not is_older(incoming, row)


def places_by_version(versions: Iterable[Version], sync_ids: Sequence[str]) -> list[int]:
    """The places, in `sync_ids`, of batches in order of version; those without a version come last."""
    ranks = {version.sync_id: rank for rank, version in enumerate(sorted(versions, key=age))}
    return sorted(range(len(sync_ids)), key=lambda place: ranks.get(sync_ids[place], len(ranks)))


def versions(known: Mapping[str, tuple[datetime, str | None]]) -> list[Version]:
    """The versions of bundles, of which the time and the prior are known, by sync_id."""
    following = generations(known)
    return [Version(at, sync_id, following[sync_id]) for sync_id, (at, _) in known.items()]


def generations(known: Mapping[str, tuple[datetime, str | None]], limit: int = MAX_GENERATION) -> dict[str, int]:
    """How many bundles of its time each bundle follows, by sync_id. A circle leads to the greatest: `limit`.

    Each bundle is looked at once, also where all are one chain.
    """
    found: dict[str, int] = {}
    for sync_id in known:
        path: dict[str, None] = {}
        prior: str | None = sync_id
        while prior is not None and prior not in found and prior not in path:
            path[prior] = None
            prior = _followed(known, prior)
        generation = -1 if prior is None else found.get(prior, limit)
        for follower in reversed(path):
            generation = found[follower] = min(generation + 1, limit)
    return found


def _followed(known: Mapping[str, tuple[datetime, str | None]], sync_id: str) -> str | None:
    """The known bundle of the same time that a bundle names as its prior."""
    at, prior = known[sync_id]
    is_followed = prior is not None and prior != sync_id and prior in known and known[prior][0] == at
    return prior if is_followed else None


def skip(incoming: Version, row: Version | None) -> Verdict:
    return ADVANCING if advances(incoming, row) else UNCHANGED


CREATED = Verdict(Decision.CREATED)
LINKED = Verdict(Decision.LINKED)
UNCHANGED = Verdict(Decision.SKIPPED, Reason.UNCHANGED)
ADVANCING = Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=True)
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

    `cover_differs`: the entry itself names a cover, and readers would see another one than before.
    """
    if stored is None or stored.asset_type is None:
        return TOMBSTONED if action is Action.REMOVE else CREATED
    if stored.asset_type != asset_type:
        error = f"hash {stored.hash} is known as {stored.asset_type}, delivered as {asset_type}"
        return Verdict(Decision.FAILED, Reason.TYPE_CONFLICT, error)
    if is_older(incoming, stored.version):
        return LINKED if cover_differs and not stored.deleted and action is not Action.REMOVE else SUPERSEDED
    if action is Action.REMOVE:
        return skip(incoming, stored.version) if stored.deleted else Verdict(Decision.REMOVED)
    identical = (
        not stored.deleted
        and stored.entry_sha256 == entry_sha256
        and documents_sha256 in (None, stored.documents_sha256)
        and not cover_differs
    )
    return skip(incoming, stored.version) if identical else Verdict(Decision.UPDATED)


def decide_cover(
    action: Action,
    hash_: str,
    incoming: Version,
    parent_hash: str,
    parent: StoredAsset | None,
    before: Covers,
    after: Covers,
) -> Verdict:
    """The verdict on a cover item, by what is known of the covers of its parent before and after it."""
    is_live = parent is not None and not parent.deleted
    if action is Action.REMOVE:
        return _decide_cover_removal(hash_, before, after)
    if not is_live:
        return Verdict(Decision.DEFERRED, Reason.PARENT_MISSING, f"parent {parent_hash} is not live", parent_hash)
    if after.visible != before.visible:
        return LINKED
    is_last = after.last is not None and (after.last.hash, after.last.linked, after.last.unlinked) == (
        hash_,
        incoming,
        None,
    )
    return UNCHANGED if is_last else SUPERSEDED


def of_awaited(verdict: Verdict) -> Verdict:
    """The verdict on a cover item that was deferred: what it says was written then, and readers see it now."""
    return LINKED if verdict.reason is Reason.UNCHANGED else verdict


def _decide_cover_removal(hash_: str, before: Covers, after: Covers) -> Verdict:
    if after.visible != before.visible:
        return Verdict(Decision.REMOVED)
    if before.last is None:
        return TOMBSTONED
    if before.last.hash != hash_:
        return Verdict(Decision.SKIPPED, Reason.ABSENT)
    return SUPERSEDED if before.last.unlinked is None else UNCHANGED


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
    """Whether a list may write a member: a late list may add members, but must not overwrite a newer list.

    A complete list is about all members: about those that it does not name, too.
    """
    return not (is_older(incoming, complete) or (member is not None and is_older(incoming, member.version)))


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

"""The limit on removals: checked before a batch is queued and before its first write, and counted with every write."""

import math
from dataclasses import dataclass, replace

from ingestd.errors import NotEligible, RemovalRefused
from ingestd.format.manifest import Manifest
from ingestd.model import Action
from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.removal_counts import Removals, StoredRemovals
from ingestd.store import batch, ledger, removal
from ingestd.store.db import Tx


def expect(tx: Tx, known: Batch, sha256: str, remaining: Removals) -> None:
    """Records what a plan expects to be removed; `remaining` is what has not been removed yet."""
    stored = _still_removed(tx, known.id, removal.find(tx, known.id, sha256))
    expected = stored.removed + remaining
    if expected != stored.expected:
        removal.expect(tx, known.id, sha256, expected)


def recount(tx: Tx, known: Batch) -> None:
    """Counts what a batch removed and is still out of sight: all of it will be decided again."""
    _still_removed(tx, known.id, removal.find(tx, known.id, known.manifest_sha256))


def _still_removed(tx: Tx, batch_id: int, stored: StoredRemovals) -> StoredRemovals:
    """The counts without rows that are visible again: by another bundle, or because the library was restored.

    Which rows were approved is not known; those that were not are taken for the ones that are still out of sight.
    """
    if not stored.removed.total:
        return stored
    removed = stored.removed.at_most(removal.out_of_sight(tx, batch_id))
    if removed == stored.removed:
        return stored
    unapproved = min(stored.removed.total - stored.approved, removed.total)
    removal.recount(tx, batch_id, removed, removed.total - unapproved)
    return replace(stored, removed=removed, approved=removed.total - unapproved)


def check(context: Context, tx: Tx, known: Batch) -> None:
    """Raises RemovalRefused when a batch would remove more rows than queue.removal_limit.

    An operator's force, given for the present digest, lifts the limit to what was approved. A count within it ends a
    hold.
    """
    if is_unlimited(known):
        return
    stored = removal.find(tx, known.id, known.manifest_sha256)
    count = count_for(context, known, known.manifest_sha256 or "")
    if stored.has_more and count.is_beyond(stored):
        raise count.refusal(stored)
    if stored.is_held:
        removal.end_hold(tx, known.id)
        batch.set_error(tx, known.id, None)


def beyond_approval(sync_id: str, stored: StoredRemovals, limit: int) -> RemovalRefused:
    return RemovalRefused(
        f"batch {sync_id} would remove {stored.expected} by now, more than the {limit} rows that were approved;"
        " review it with `ingestd preflight`, then allow it with `ingestd queue --force`",
        stored.expected.as_dict(),
    )


def refused(sync_id: str, stored: StoredRemovals, limit: int) -> RemovalRefused:
    earlier = f" ({_earlier(stored)})" if stored.removed.total else ""
    return RemovalRefused(
        f"batch {sync_id} would remove {stored.expected}{earlier}, more than queue.removal_limit = {limit};"
        " review it with `ingestd preflight`, then allow it with `ingestd queue --force`",
        stored.expected.as_dict(),
    )


def _earlier(stored: StoredRemovals) -> str:
    """What has been removed already, in words: "2 of these rows so far, 1 of them approved"."""
    approved = f", {stored.approved} of them approved" if stored.approved else ""
    return f"{stored.removed.total} of these rows so far{approved}"


def may_have_grown(context: Context, tx: Tx, known: Batch, manifest: Manifest) -> bool:
    """Whether more than the limit may be removed by now, because the library may have grown since the plan.

    That is so for every removal and every complete list, and where the items of an update have that many live files.
    """
    if manifest.action is Action.REMOVE:
        return True
    if is_unlimited(known):
        return False
    if any(container.complete for container in manifest.containers()):
        return True
    stored = removal.find(tx, known.id, manifest.sha256)
    left = int(count_for(context, known, manifest.sha256).left(stored))
    return removal.count_live_files(tx, known.id, left + 1) > left


def is_forced(known: Batch) -> bool:
    """Whether an operator allowed the present manifest to exceed the limit."""
    return known.force_sha256 is not None and known.force_sha256 == known.manifest_sha256


def is_unlimited(known: Batch) -> bool:
    """Whether that was allowed for any number of rows."""
    return is_forced(known) and known.force_limit is None


def count_for(context: Context, known: Batch, sha256: str) -> "RemovalCount":
    """Counts the removals of one run of a batch, whose row is locked."""
    allowed = 0.0
    if is_forced(known):
        allowed = math.inf if known.force_limit is None else known.force_limit
    return RemovalCount(known.id, known.sync_id, sha256, context.settings.queue.removal_limit, allowed)


def hold(tx: Tx, known: Batch, refusal: RemovalRefused, *, phase: str, requested_by: str) -> None:
    """Marks a batch as held until it is approved or its manifest changes. Each count that is refused has one event."""
    assert known.manifest_sha256 is not None, "only a manifest that was read can remove anything"
    stored = removal.find(tx, known.id, known.manifest_sha256)
    counts = stored.expected.at_least(Removals(**refusal.counts))
    removal.expect(tx, known.id, known.manifest_sha256, counts)
    removal.hold(tx, known.id)
    batch.hold(tx, known.id, str(refusal))
    if not stored.is_held or stored.refused != counts:
        payload = {"phase": phase, "requested_by": requested_by, "reason": str(refusal)}
        ledger.append(tx, known.id, "removal_refused", **payload)


def update_hold(context: Context, tx: Tx, known: Batch) -> None:
    """Updates the reason of a held batch to what its last plan expects. It stays held until it is queued again."""
    limit = context.settings.queue.removal_limit
    stored = removal.find(tx, known.id, known.manifest_sha256)
    reason = str(refused(known.sync_id, stored, limit))
    if stored.unapproved <= limit:
        reason = (
            f"batch {known.sync_id} was held when it would have removed {stored.refused}; now it would remove"
            f" {stored.expected}, within queue.removal_limit = {limit}: `ingestd queue` imports it"
        )
    batch.hold(tx, known.id, reason)


def require_at_most(tx: Tx, known: Batch, count: int | None) -> StoredRemovals:
    """Returns the counts of a batch. Raises NotEligible if it would remove more than `count` rows; None: any number."""
    stored = removal.find(tx, known.id, known.manifest_sha256)
    if count is not None and stored.expected.total > count:
        raise NotEligible(
            f"batch {known.sync_id} would remove {stored.expected} by now, more than the {count} that were reviewed;"
            " review it with `ingestd preflight`, then approve it again"
        )
    return stored


def approve(tx: Tx, known: Batch, requested_by: str, at_most: int | None) -> None:
    """Allows the present manifest of a batch to exceed the limit. The ledger records what was refused.

    If the count is another one by now, the ledger has both. Raises NotEligible if it is more than `at_most` rows.
    """
    stored = require_at_most(tx, known, at_most)
    counts = stored.refused if stored.is_held else stored.expected
    now = {"now": stored.expected.as_dict()} if counts != stored.expected else {}
    batch.set_force(tx, known.id, at_most)
    removal.end_hold(tx, known.id)
    removal.approve(tx, known.id)
    payload = {"phase": "queue", "requested_by": requested_by, **counts.as_dict(), **now}
    ledger.append(tx, known.id, "removal_approved", **payload)


@dataclass(frozen=True, slots=True)
class RemovalCount:
    """Counts what one run removes, in the transactions that remove it.

    `limit`: how many rows may be removed without approval; `allowed`: how many an approval allows in all. An approval
    never allows less than the limit.
    """

    batch_id: int
    sync_id: str
    sha256: str
    limit: int
    allowed: float = 0.0

    def add(self, tx: Tx, removed: Removals) -> None:
        """Counts rows that the transaction is about to take out of sight.

        Raises RemovalRefused, so that the transaction is rolled back, when it would exceed the limit.
        """
        if not removed.total:
            return
        is_approved = self.allowed == math.inf or self._is_approved(tx, removed)
        removal.add(tx, self.batch_id, self.sha256, removed, approved=is_approved)

    def left(self, stored: StoredRemovals) -> float:
        """How many more rows may be removed."""
        unapproved = stored.removed.total - stored.approved
        return max(self.limit - unapproved, self.allowed - stored.removed.total)

    def is_beyond(self, stored: StoredRemovals) -> bool:
        """Whether what is expected exceeds what is allowed."""
        return stored.unapproved > self.limit and stored.expected.total > self.allowed

    def refusal(self, stored: StoredRemovals) -> RemovalRefused:
        """For what exceeds it."""
        if not self.allowed:
            return refused(self.sync_id, stored, self.limit)
        return beyond_approval(self.sync_id, stored, int(self.allowed))

    def _is_approved(self, tx: Tx, removed: Removals) -> bool:
        """Whether these rows are within the approval. Raises RemovalRefused if they are beyond the limit as well."""
        stored = removal.lock(tx, self.batch_id, self.sha256)
        if removed.total > self.left(stored):
            stored = _still_removed(tx, self.batch_id, stored)
            after = replace(stored, expected=stored.removed + removed)
            if self.is_beyond(after):
                raise self.refusal(after)
        return stored.removed.total + removed.total <= self.allowed

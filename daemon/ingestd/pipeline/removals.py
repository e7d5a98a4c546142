"""The limit on removals: checked before a batch is queued and before its first write, and counted with every write."""

from dataclasses import dataclass

from ingestd.errors import RemovalRefused
from ingestd.format.manifest import Manifest
from ingestd.model import Action
from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.removal_counts import Removals
from ingestd.store import batch, ledger, removal
from ingestd.store.db import Tx


def expect(tx: Tx, known: Batch, sha256: str, remaining: Removals) -> None:
    """Records what a plan expects to be removed; `remaining` is what has not been removed yet.

    A held batch keeps the counts that were refused.
    """
    stored = removal.find(tx, known.id, sha256)
    expected = stored.removed + remaining
    if not stored.is_held and expected != stored.expected:
        removal.expect(tx, known.id, sha256, expected)


def check(context: Context, tx: Tx, known: Batch) -> None:
    """Raises RemovalRefused when a batch would remove more rows than queue.removal_limit.

    An operator's force, given for the present digest, lifts the limit. A higher limit ends a hold.
    """
    limit = context.settings.queue.removal_limit
    if is_forced(known):
        return
    stored = removal.find(tx, known.id, known.manifest_sha256)
    if stored.expected.total > limit and (stored.is_held or stored.expected != stored.removed):
        raise refused(known.sync_id, stored.expected, limit)
    if stored.is_held:
        removal.end_hold(tx, known.id)


def refused(sync_id: str, removals: Removals, limit: int) -> RemovalRefused:
    return RemovalRefused(
        f"batch {sync_id} would remove {removals}, more than queue.removal_limit = {limit};"
        " review it with `ingestd preflight`, then allow it with `ingestd queue --force`",
        removals.as_dict(),
    )


def may_have_grown(context: Context, tx: Tx, known: Batch, manifest: Manifest) -> bool:
    """Whether more than the limit may be removed by now, because the library may have grown since the plan.

    That is so for every removal and every complete list, and where the items of an update have that many live files.
    """
    if manifest.action is Action.REMOVE:
        return True
    if is_forced(known):
        return False
    if any(container.complete for container in manifest.containers()):
        return True
    left = context.settings.queue.removal_limit - removal.find(tx, known.id, manifest.sha256).removed.total
    return removal.count_live_files(tx, known.id, left + 1) > left


def is_forced(known: Batch) -> bool:
    """Whether an operator allowed the present manifest to exceed the limit."""
    return known.force_sha256 is not None and known.force_sha256 == known.manifest_sha256


def count_for(context: Context, known: Batch, sha256: str) -> "RemovalCount":
    """Counts the removals of one run of a batch, whose row is locked."""
    limit = None if is_forced(known) else context.settings.queue.removal_limit
    return RemovalCount(known.id, known.sync_id, sha256, limit)


def hold(tx: Tx, known: Batch, refusal: RemovalRefused, *, phase: str, requested_by: str) -> None:
    """Marks a batch as held until it is approved or its manifest changes. One refusal has one event."""
    assert known.manifest_sha256 is not None, "only a manifest that was read can remove anything"
    stored = removal.find(tx, known.id, known.manifest_sha256)
    counts = stored.expected.at_least(Removals(**refusal.counts))
    removal.expect(tx, known.id, known.manifest_sha256, counts, is_held=True)
    batch.hold(tx, known.id, str(refusal))
    if not stored.is_held:
        payload = {"phase": phase, "requested_by": requested_by, "reason": str(refusal)}
        ledger.append(tx, known.id, "removal_refused", **payload)


def approve(tx: Tx, known: Batch, requested_by: str) -> None:
    """Allows the present manifest of a batch to exceed the limit."""
    if is_forced(known):
        return
    counts = removal.find(tx, known.id, known.manifest_sha256).expected
    batch.set_force(tx, known.id)
    removal.end_hold(tx, known.id)
    payload = {"phase": "queue", "requested_by": requested_by, **counts.as_dict()}
    ledger.append(tx, known.id, "removal_approved", **payload)


@dataclass(frozen=True, slots=True)
class RemovalCount:
    """Counts what one run removes, in the transactions that remove it. `limit` None: an operator lifted it."""

    batch_id: int
    sync_id: str
    sha256: str
    limit: int | None

    def add(self, tx: Tx, removed: Removals) -> None:
        """Raises RemovalRefused, so that the transaction is rolled back, when it would exceed the limit."""
        if not removed.total:
            return
        removal.add(tx, self.batch_id, self.sha256, removed)
        total = removal.find(tx, self.batch_id, self.sha256).removed
        if self.limit is not None and total.total > self.limit:
            raise refused(self.sync_id, total, self.limit)

"""Which items of a batch a job takes up, and whether a request is for others."""

from ingestd.errors import NotEligible
from ingestd.model import OPEN, TAKEN_BY, JobState, Scope
from ingestd.records import Batch, Job
from ingestd.store import batch_container, item
from ingestd.store.db import Tx

NAMES = {
    Scope.ALL: "all items",
    Scope.FAILED: "only failed items",
    Scope.DEFERRED: "only deferred items",
    Scope.REIMPORT: "a re-import",
}


def require_items(tx: Tx, known: Batch, scope: Scope) -> None:
    """Raises NotEligible when a request for failed or deferred items finds none."""
    if not scope.leaves_out_some:
        return
    if not item.tally(tx, known.id)[scope.value] and not batch_container.tally(tx, known.id)[scope.value]:
        raise NotEligible(f"batch {known.sync_id} has no {scope.value} items or containers")


def taken_digest(known: Batch, scope: Scope) -> str | None:
    """The digest whose content a job takes up. A job for some items has none: a sweep may have to queue the others."""
    return known.manifest_sha256 if scope.takes_everything else None


def asks_for_others(tx: Tx, known: Batch, active: Job, wanted: Scope, *, is_plain: bool) -> bool:
    """Whether a request is for other items than those of an active job: for more, or only for some of them.

    A request without options (`is_plain`) is for the whole batch. One for another priority, or for force, leaves the
    items of a job as a person chose them.
    """
    if active.state is JobState.RUNNING:
        return _comes_too_late(tx, known, active, wanted, is_plain=is_plain)
    if active.scope.covers(wanted):
        return wanted.leaves_out_some and active.scope is not wanted
    return wanted is not Scope.ALL or is_plain or active.scope is Scope.REVIVAL


def _comes_too_late(tx: Tx, known: Batch, active: Job, wanted: Scope, *, is_plain: bool) -> bool:
    """The same of a running job, which has passed some of the items already."""
    if wanted is Scope.ALL:
        return is_plain and _leaves_out_any(tx, known, active.scope)
    return wanted is not active.scope


def _leaves_out_any(tx: Tx, known: Batch, scope: Scope) -> bool:
    """Whether a batch has items or containers to import that are not of a scope."""
    counts = item.tally(tx, known.id) + batch_container.tally(tx, known.id)
    return any(counts[decision] for decision in OPEN if decision not in TAKEN_BY[scope])

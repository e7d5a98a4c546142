"""Makes the plan of a batch: a forecast of what its import would do. Writes nothing into the library.

A plan is made from one digest of the manifest; the importer decides again, from locked rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from ingestd.errors import ManifestUnsettled, NotEligible, no_batch
from ingestd.format.manifest import Manifest
from ingestd.format.manifest_index import ManifestIndex
from ingestd.model import BatchStatus, Decision, JobState
from ingestd.pipeline import delivery, forecast, plan_steps, removals, status
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.staging import Plan, Staging
from ingestd.records import Batch
from ingestd.service import tick
from ingestd.store import batch, item, job, ledger, versions
from ingestd.store.db import Tx

log = structlog.get_logger()

T = TypeVar("T")

FORECASTS = tuple(decision.value for decision in Decision if decision.value.startswith("will_"))


def preflight(context: Context, sync_id: str) -> dict[str, Any]:
    """Reads, validates and plans one batch; returns the plan. Raises NotFound, NotEligible, MountUnavailable."""
    if context.db.read(lambda tx: batch.find(tx, sync_id)) is None:
        raise no_batch(sync_id)
    delivered = read(context, sync_id)
    delivery.record(context, delivered)
    manifest = delivered.manifest
    if manifest is None:
        raise NotEligible(f"batch {sync_id} is invalid: {delivered.error}")
    plan = _plan(context, sync_id, manifest)
    count(context, plan)
    return {**plan_payload(plan), "removals": plan.removals.as_dict()}


def read(context: Context, sync_id: str, known_sha256: str | None = None) -> Delivery:
    """As `delivery.read`, for a person: a mount that is gone is not taken for a bundle that was withdrawn."""
    try:
        return delivery.read(context, sync_id, known_sha256)
    except ManifestUnsettled:
        context.mount.check()
        raise


def count(context: Context, plan: Plan) -> None:
    """Counts a plan that was committed."""
    context.instruments.preflights.labels("ok" if plan.is_ok else "failed").inc()


def _plan(context: Context, sync_id: str, manifest: Manifest) -> Plan:
    """Plans a batch outside of a job: a large one in several transactions, each of which looks whether it still may."""
    transaction = context.db.transaction
    if not plan_steps.is_large(manifest):
        return transaction(lambda tx: _plan_at_once(tx, context, _plannable(tx, sync_id, manifest), manifest))

    def guarded(work: Callable[[Tx], T]) -> T:
        return transaction(lambda tx: (_plannable(tx, sync_id, manifest), work(tx))[1])

    staging = transaction(lambda tx: _begin_steps(tx, _plannable(tx, sync_id, manifest), manifest))
    plan_steps.stage(context.db, staging, guarded, tick)
    return transaction(lambda tx: _end_steps(tx, context, _plannable(tx, sync_id, manifest), manifest, staging))


def _plannable(tx: Tx, sync_id: str, manifest: Manifest) -> Batch:
    """The batch, whose row stays locked. Raises NotEligible if this manifest cannot be planned now."""
    known = batch.lock(tx, sync_id)
    assert known is not None, "batches are never deleted"
    active = job.active(tx, known.id)
    if active and active.state is JobState.RUNNING:
        raise NotEligible(f"job {active.id} is importing batch {sync_id} right now")
    if known.is_invalid:
        raise NotEligible(f"batch {sync_id} is invalid: {known.last_error}")
    if known.manifest_sha256 != manifest.sha256:
        raise NotEligible(f"the manifest of batch {sync_id} changed while it was read; try again")
    return known


def _plan_at_once(tx: Tx, context: Context, known: Batch, manifest: Manifest) -> Plan:
    plan = make_plan(tx, known, manifest, bundle_of(tx, known.id, manifest, manifest.index))
    return _planned(tx, context, known, plan)


def _begin_steps(tx: Tx, known: Batch, manifest: Manifest) -> Staging:
    # Another host may plan the same at the same time, so that there may be rows at each step.
    return begin_plan(tx, known, manifest, bundle_of(tx, known.id, manifest, manifest.index), had_rows=True)


def _end_steps(tx: Tx, context: Context, known: Batch, manifest: Manifest, staging: Staging) -> Plan:
    plan = end_plan(tx, known, manifest, bundle_of(tx, known.id, manifest, manifest.index), staging)
    return _planned(tx, context, known, plan)


def _planned(tx: Tx, context: Context, known: Batch, plan: Plan) -> Plan:
    if known.status is BatchStatus.HELD:
        removals.update_hold(context, tx, known)
    status.refresh(tx, known.id)
    return plan


def make_plan(
    tx: Tx, known: Batch, manifest: Manifest, bundle: Bundle, on_progress: Callable[[], None] = lambda: None
) -> Plan:
    """Stages all items with their forecast, in the caller's transaction. For a batch that is not large."""
    staging = begin_plan(tx, known, manifest, bundle, had_rows=item.has_any(tx, known.id))
    staging.write_all(tx, on_progress)
    return end_plan(tx, known, manifest, bundle, staging)


def make_plan_of_left(tx: Tx, known: Batch, manifest: Manifest, bundle: Bundle, left: Sequence[int]) -> Plan:
    """As `make_plan`, where only the items at some places are undecided, and the rows of all are in step."""
    staging = begin_plan(tx, known, manifest, bundle, had_rows=True)
    staging.write_left(tx, left)
    return end_plan(tx, known, manifest, bundle, staging)


def begin_plan(tx: Tx, known: Batch, manifest: Manifest, bundle: Bundle, *, had_rows: bool) -> Staging:
    """Appends `preflight_started`; returns what stages the items, in this transaction or in others after it.

    A crash in between leaves rows, and no plan for this digest: the next one begins again, and takes them over.
    """
    ledger.append(tx, known.id, "preflight_started", **started_payload(manifest))
    is_new = known.plan_sha256 != manifest.sha256
    return Staging(known.id, manifest, forecast.forecaster(bundle), had_rows=had_rows, is_new=is_new)


def end_plan(tx: Tx, known: Batch, manifest: Manifest, bundle: Bundle, staging: Staging) -> Plan:
    """Completes a plan whose items are staged, and appends `preflight_finished`."""
    staging.finish(tx)
    plan = replace(staging.plan)  # not itself: this transaction may run again
    plan.removals = forecast.less_covers_of_removed(tx, known.id, bundle, plan)
    plan.removals += forecast.removed_members(tx, known.id, bundle, manifest, plan.removed_again)
    batch.set_plan(tx, known.id, manifest.sha256)
    if plan.removals.total or known.plan_sha256 is not None:
        removals.expect(tx, known, manifest.sha256, plan.removals)
    ledger.append(tx, known.id, "preflight_finished", **finished_payload(plan, bundle.index))
    return plan


def started_payload(manifest: Manifest) -> dict[str, Any]:
    """What `preflight_started` says."""
    index = manifest.index
    return {
        "phase": "preflight",
        "action": manifest.action,
        "manifest_sha256": manifest.sha256,
        "item_count": index.item_count,
        "item_type_counts": index.types,
        "container_count": manifest.distinct_containers,
    }


def finished_payload(plan: Plan, index: ManifestIndex) -> dict[str, Any]:
    """What `preflight_finished` says."""
    ignored = {"derivatives_ignored": index.derivatives_ignored, "duplicates_collapsed": index.duplicates_collapsed}
    return {"phase": "preflight", **plan_payload(plan), **{key: count for key, count in ignored.items() if count}}


def bundle_of(tx: Tx, batch_id: int, manifest: Manifest, index: ManifestIndex) -> Bundle:
    """What all entries of a batch share, whose row holds this manifest."""
    return Bundle(manifest.action, versions.version(tx, batch_id), index)


def plan_payload(plan: Plan) -> dict[str, Any]:
    """The plan, as the ledger and the commands show it."""
    return {
        "ok": int(plan.is_ok),
        "counts": {forecast: plan.counts[forecast] for forecast in FORECASTS},
        "item_count": plan.item_count,
        "item_type_counts": dict(plan.types),
        "failure_samples": plan.failure_samples,
    }

"""What is delivered under a sync_id, and what that means for its batch: new, unchanged, or changed.

The digest comes first: a manifest is parsed only when its batch is not recorded with the same digest already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from ingestd.errors import BatchIsRunning, ManifestError, MountSilent
from ingestd.format.manifest import Manifest
from ingestd.format.manifest_index import ManifestIndex
from ingestd.model import SUCCEEDED, Action, BatchStatus, Decision, InvalidBasis, JobState, Origin
from ingestd.mount.manifest_exchange import ManifestExchange
from ingestd.pipeline import discovery, future, ordering, removals, sightings, staging
from ingestd.pipeline.context import Context
from ingestd.records import Batch
from ingestd.service import tick
from ingestd.store import batch, item, job, ledger, removal, versions
from ingestd.store.attempts import never
from ingestd.store.db import Tx
from ingestd.store.queries import server

log = structlog.get_logger()


class Change(Enum):
    """What recording a reading has changed."""

    NEW = "a batch that had no row"
    CONTENT = "another manifest, or another verdict"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One reading of a manifest. `size` is in bytes.

    `sha256` None: the manifest could not be read. `problem` is why it is not consumable; its `basis` is what that rests
    on. With the digest that was known, it is unchanged, and has neither `manifest` nor `problem`.
    """

    sync_id: str
    sha256: str | None
    size: int = 0
    manifest: Manifest | None = None
    problem: ManifestError | None = None
    is_unchanged: bool = False
    origin: Origin | None = None
    """what was mounted when it was read"""

    @property
    def error(self) -> str | None:
        """The problem in words."""
        return None if self.problem is None else str(self.problem)

    @property
    def index(self) -> ManifestIndex:
        """The index of a consumable manifest."""
        assert self.manifest is not None, "only a consumable manifest has an index"
        return self.manifest.index


def read(
    context: Context,
    sync_id: str,
    known_sha256: str | None = None,
    *,
    on_alive: Callable[[], None] = tick,
    deadline: float | None = None,
    only_short: bool = False,
    as_listed: bool = False,
    is_probed: bool = False,
    within: ManifestExchange | None = None,
) -> Delivery:
    """Reads the manifest of a bundle. Raises SentinelMissing, ManifestUnsettled or MountUnavailable.

    `known_sha256`: the digest that its batch is recorded with, for a caller that needs no manifest with this digest.
    `on_alive()` is called now and then while a long manifest is read. `deadline` is the longest silence in seconds, by
    default mount.deadline. `only_short`: raises ManifestIsLong for a manifest of more than 1 MiB. `as_listed`: a
    sentinel that a listing has just shown counts. `is_probed`: that reading it ends is known, or found out otherwise.
    `within`: a request for several, of which it may be next.
    """
    if not is_probed:
        _require_answer(context, sync_id, context.settings.mount.deadline if deadline is None else deadline)
    how = {"only_short": only_short, "as_listed": as_listed}
    reading = context.mount.read_manifest(sync_id, known_sha256, on_alive, deadline=deadline, within=within, **how)
    is_unchanged = reading.sha256 is not None and reading.sha256 == known_sha256
    return Delivery(
        sync_id, reading.sha256, reading.size, reading.manifest, reading.problem, is_unchanged, context.mount.origin
    )


def _require_answer(context: Context, sync_id: str, seconds: float) -> None:
    """Where manifests hang, each read of one more would cost one more helper, until no manifest is read at all."""
    mount = context.mount
    if mount.hung_manifests and not mount.manifest_answers(sync_id, seconds):
        raise MountSilent(f"reading sync/{sync_id}.json hangs in the mount; mount it again")


def record(context: Context, delivered: Delivery, *, by_scan: bool = False) -> Change | None:
    """Records a reading in its own transaction; None if that changed nothing.

    `by_scan`: no person asked for this bundle. Then DatabaseContention is raised soon if another transaction holds the
    batch, BatchIsRunning if its job runs, and another manifest counts only if it is news to this host (`sightings`).
    """
    if delivered.is_unchanged:
        return None
    columns = columns_of(delivered)

    def work(tx: Tx) -> tuple[Change, dict[str, Any] | None]:
        known = (batch.lock_at_once if by_scan else batch.lock)(tx, delivered.sync_id)
        if known is None:
            return Change.NEW, discovery.record(tx, context, {delivered.sync_id: columns})[delivered.sync_id]
        return Change.CONTENT, _record_again(tx, context, known, delivered, columns, by_scan=by_scan)

    change, recorded = context.db.transaction(work, keep_waiting=never if by_scan else None)
    if recorded is None:
        return None
    log_invalid(delivered.sync_id, recorded)
    return change


def log_invalid(sync_id: str, recorded: dict[str, Any]) -> None:
    """Logs that a bundle was recorded as invalid, if it was."""
    if recorded["status"] == BatchStatus.INVALID.value:
        log.warning("batch_invalid", sync_id=sync_id, reason=recorded["last_error"])


def _is_absent(delivered: Delivery) -> bool:
    """Whether this host cannot read what another one recorded: then the batch keeps its status."""
    return delivered.problem is not None and delivered.problem.basis == InvalidBasis.ABSENCE


def _holds(known: Batch, delivered: Delivery) -> bool:
    """Whether what is recorded of a batch holds for this reading: the same bytes, and a verdict that rests on them."""
    is_final = known.invalid_basis in (None, InvalidBasis.BYTES)
    return is_final and known.manifest_sha256 == delivered.sha256


def _record_again(
    tx: Tx, context: Context, known: Batch, delivered: Delivery, columns: dict[str, Any], *, by_scan: bool
) -> dict[str, Any] | None:
    """The columns that were recorded of a batch that has a row; None if nothing changed."""
    columns = future.check(columns, server.now(tx), context.settings.mount.max_future)
    if by_scan and (_is_absent(delivered) or not sightings.counts(tx, context, known, delivered.sha256)):
        return None
    if _holds(known, delivered):
        return None
    active = job.active(tx, known.id)
    if active and active.state is JobState.RUNNING:
        if by_scan:
            raise BatchIsRunning
        return None
    if known.manifest_sha256 == delivered.sha256:
        return _check_again(tx, context, known, delivered, columns, queued=active is not None)
    change(tx, context, known, delivered, columns, queued=active is not None)
    return columns


def _check_again(
    tx: Tx, context: Context, known: Batch, delivered: Delivery, columns: dict[str, Any], *, queued: bool
) -> dict[str, Any] | None:
    """Records that an invalid batch is valid now, or invalid for another reason, though its manifest is the same."""
    if columns["invalid_basis"] == known.invalid_basis:
        return None
    _redeliver(tx, known.id, {**columns, "status": BatchStatus.QUEUED.value if queued else columns["status"]})
    batch.note_overturned(tx, known.id, context.settings.mount.rescan_interval)
    if delivered.manifest is not None and columns["invalid_basis"] is None:
        ledger.append(tx, known.id, "batch_valid", phase="scan", earlier_basis=known.invalid_basis)
        _restage(tx, known, delivered.manifest)
        _resume(tx, context, known)
    _append_invalid(tx, known.id, columns)
    return columns


def _resume(tx: Tx, context: Context, known: Batch) -> None:
    """Has a batch queued again whose last job ended because the bundle was invalid at that moment; a hold goes on."""
    if removal.find(tx, known.id, known.manifest_sha256).is_held:
        removals.update_hold(context, tx, known)
        return
    last = job.newest(tx, known.id)
    if last is not None and last.state is JobState.FAILED:
        batch.retry_now(tx, known.id)


def change(
    tx: Tx,
    context: Context,
    known: Batch,
    delivered: Delivery,
    columns: dict[str, Any],
    *,
    queued: bool,
    phase: str = "scan",
) -> None:
    """Records another digest under a known sync_id: appends `manifest_changed`, resets changed items to pending."""
    sightings.note_change(tx, context, known, delivered.sha256)
    status = BatchStatus.QUEUED.value if queued else columns["status"]
    _redeliver(tx, known.id, {**columns, "status": status})
    payload = {"phase": phase, "from_sha256": known.manifest_sha256, "to_sha256": delivered.sha256}
    ledger.append(tx, known.id, "manifest_changed", **payload)
    if phase == "scan":  # the end of a run has this event, too
        _append_invalid(tx, known.id, columns)
    removal.end_hold(tx, known.id)
    removal.discard_plan(tx, known.id)
    if delivered.manifest is not None:
        _restage(tx, known, delivered.manifest)
    if queued:
        ordering.hold_back_again(tx, known)


def complete(tx: Tx, known: Batch, delivered: Delivery, manifest: Manifest) -> None:
    """Records what the manifest of a batch says that a run reads, and that was recorded as invalid without that."""
    _redeliver(tx, known.id, {**columns_of(delivered), "status": known.status.value})
    ledger.append(tx, known.id, "batch_valid", phase="import", earlier_basis=known.invalid_basis)
    _restage(tx, known, manifest)
    ordering.hold_back_again(tx, known)


def _redeliver(tx: Tx, batch_id: int, columns: dict[str, Any]) -> None:
    """Records the columns of another reading, and what that changes in the order of bundles."""
    before = versions.place_of(tx, batch_id)
    batch.redeliver(tx, batch_id, columns)
    versions.revise(tx, batch_id, *before)


def _restage(tx: Tx, known: Batch, manifest: Manifest) -> None:
    """Resets changed items, or all where the same entries ask for something else; `known` has the action before.

    With another version, what succeeded is reset, too: it is said again, against what others said between the two.
    """
    if (manifest.action is Action.REMOVE) != (known.action is Action.REMOVE):
        item.reset(tx, known.id)
    elif versions.has_moved(tx, known.id, versions.version(tx, known.id)):
        item.reset(tx, known.id, (*SUCCEEDED, Decision.IGNORED))
    staging.restage(tx, known.id, manifest)


def columns_of(delivered: Delivery) -> dict[str, Any]:
    """The columns of a batch that follow from a reading."""
    manifest = delivered.manifest
    if manifest is None:
        problem = delivered.problem
        assert problem is not None, "a manifest that is not consumable has a problem"
        return batch.envelope_columns(
            BatchStatus.INVALID,
            error=str(problem),
            basis=InvalidBasis(problem.basis),
            sha256=delivered.sha256,
            origin=delivered.origin,
        )
    return batch.envelope_columns(
        BatchStatus.NEW,
        sha256=delivered.sha256,
        type=manifest.type,
        action=manifest.action,
        source_host=manifest.source_host,
        item_count=manifest.item_count,
        total_bytes=delivered.index.total_bytes,
        summary=manifest.summary,
        completed_at=manifest.completed_at,
        prior_sync_id=manifest.prior_sync_id,
        origin=delivered.origin,
    )


def _append_invalid(tx: Tx, batch_id: int, columns: dict[str, Any]) -> None:
    if columns["status"] == BatchStatus.INVALID.value:
        ledger.append_all(tx, batch_id, [discovery.invalid_event(columns)])

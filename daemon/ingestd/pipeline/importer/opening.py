"""Opens a run: reads the manifest, plans the batch where no plan exists for its digest, and records the start."""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from structlog.contextvars import bind_contextvars

from ingestd.errors import IngestdError, ManifestFromFuture, ManifestUnsettled, PriorFirst, RemovalRefused
from ingestd.format.manifest import Manifest
from ingestd.model import SUCCEEDED, Lease, Scope
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.reader import FirstTry, pauses
from ingestd.pipeline import delivery, future, ordering, plan_steps, preflight, removals
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.found_assets import FoundAssets
from ingestd.pipeline.group_reading import read_alone
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.grace import Grace
from ingestd.pipeline.importer.opened import Begun, Opened, PlanInSteps, Staged, may_have_new_items
from ingestd.pipeline.staging import Plan
from ingestd.store import item, job, ledger, standing, versions
from ingestd.store.db import Tx
from ingestd.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens one run. The mount must stay the one that `identity` describes. `grace` is for the manifest."""

    context: Context
    lease: Lease
    fence: Fence
    identity: MountIdentity
    grace: Grace
    first_try: FirstTry

    def open(self, delivered: Delivery, manifest: Manifest) -> Opened:
        """Raises ManifestError, PriorFirst, RemovalRefused, LeaseLost."""
        opened, obstacle = self.fence.fenced(lambda tx: self.prepare(tx, delivered, manifest))
        while isinstance(obstacle, PlanInSteps):
            staged = self._staged(obstacle.staged)
            opened, obstacle = self.fence.fenced(
                partial(self.prepare, delivered=delivered, manifest=manifest, staged=staged)
            )
        if opened.plan is not None:
            preflight.count(self.context, opened.plan)
        if obstacle is not None:
            raise obstacle
        return opened

    def _staged(self, staged: Staged) -> Staged:
        """Stages the items of a large batch. Those of a new one are only planned, if nothing needs their rows."""
        if may_have_new_items(self.lease, staged.begun):
            found, parts = FoundAssets(staged.begun.bundle), staged.staging.parts()
            plan = plan_steps.foresee(self.context.db, parts, found, self.fence.read, self.fence.on_step)
            if not plan.removals.total:
                return replace(staged, plan=plan, found=found)
        plan_steps.stage(self.context.db, staged.staging, self.fence.fenced, self.fence.on_step)
        return staged

    def read(self) -> tuple[Delivery, Manifest]:
        """The delivery and its manifest; one that cannot be read is tried again for mount.settle_seconds.

        Raises ManifestError, NotSettled, MountUnavailable.
        """
        sync_id = self.lease.sync_id
        bind_contextvars(sync_id=sync_id)
        if (found := self._read_ahead()) is not None:
            return found
        parsed, settled_at = self.context.ahead.take_long(sync_id), self.grace.settled_at()
        for pause in pauses():
            try:
                delivered = self._delivered(parsed)
                manifest = delivered.manifest
                break
            except ManifestUnsettled as error:
                self.context.mount.require_same(self.identity)
                if time.monotonic() >= settled_at:
                    raise
                self.grace.problem, self.grace.sync_id = str(error), sync_id
                self.grace.pause(pause)
        if manifest is None:
            assert delivered.problem is not None, "a manifest that is not consumable has a problem"
            if delivered.sha256 is not None:
                # The verdict must not be taken for one on the manifest that was recorded before.
                self.fence.fenced(lambda tx: self._current_batch(tx, delivered))
            raise delivered.problem
        return delivered, manifest

    def _delivered(self, parsed: Delivery | None) -> Delivery:
        """What is on the mount. Of a manifest that was `parsed` already, the digest is enough."""
        known, on_step = None if parsed is None else parsed.sha256, self.fence.on_step
        delivered = delivery.read(self.context, self.lease.sync_id, known, on_alive=on_step)
        if parsed is not None and delivered.is_unchanged:
            return replace(parsed, origin=delivered.origin)
        return delivered

    def _read_ahead(self) -> tuple[Delivery, Manifest] | None:
        """What was read of the bundle before its job was claimed, if that counts."""
        lease, on_step = self.lease, self.fence.on_step
        found = self.context.ahead.take(lease.sync_id, lease.recorded_sha256, self.identity, on_step)
        if found is None or found.delivered.manifest is None:
            return None
        readings = found.readings
        if not found.is_certain:
            readings = read_alone(self.context.mount, found.delivered, self.fence.on_bytes)
        if readings is not None:
            self.first_try.keep(readings, set())
        return (found.delivered, found.delivered.manifest) if found.is_certain or readings is not None else None

    def prepare(
        self, tx: Tx, delivered: Delivery, manifest: Manifest, staged: Staged | None = None
    ) -> tuple[Opened, IngestdError | None]:
        """Plans the batch if needed. An obstacle is returned, not raised, so that what it rests on is committed.

        `staged`: what was staged in steps, if anything.
        """
        begun, obstacle = self.begin(tx, delivered, manifest)
        if obstacle is not None:
            return Opened(manifest, begun.bundle, 0, None, begun.removed), obstacle
        return self.plan(tx, begun, staged)

    def begin(self, tx: Tx, delivered: Delivery, manifest: Manifest) -> tuple[Begun, IngestdError | None]:
        """The batch, locked and brought up to date with its manifest, and what keeps it from being imported now."""
        stands, is_changed = self._current_batch(tx, delivered)
        assert stands.version is not None, "a consumable manifest gives its batch a version"
        known, bundle = stands.known, Bundle(manifest.action, stands.version, delivered.index)
        begun = Begun(
            known, stands, manifest, bundle, removals.count_for(self.context, known, manifest.sha256), is_changed
        )
        max_future = self.context.settings.mount.max_future
        if problem := future.problem_of(manifest.completed_at, stands.now, max_future):
            return begun, ManifestFromFuture([problem])
        if is_changed and ordering.must_wait(tx, known.id):
            return begun, PriorFirst("its prior has an active job")
        return begun, None

    def plan(self, tx: Tx, begun: Begun, staged: Staged | None = None) -> tuple[Opened, IngestdError | None]:
        """Plans the batch if needed, as `prepare`."""
        known, manifest, bundle = begun.known, begun.manifest, begun.bundle
        plan = None
        if staged is not None and staged.is_for(begun):
            plan = self._end_plan(tx, begun, staged)
        elif self._needs_plan(tx, begun):
            plan = self._plan_at_once(tx, begun)
            if plan is None:
                staging = preflight.begin_plan(tx, known, manifest, bundle, had_rows=begun.standing.has_rows)
                return Opened(manifest, bundle, 0, None, begun.removed), PlanInSteps(Staged(begun, staging))
        if self.lease.scope.takes_everything:
            job.consume(tx, self.lease.job_id, manifest.sha256)
        try:
            removals.check(self.context, tx, known)
        except RemovalRefused as refusal:
            return Opened(manifest, bundle, 0, plan, begun.removed), refusal
        found = staged.found if staged is not None and plan is not None and plan is staged.plan else None
        terminal = self._record_start(tx, begun, None if found is None else plan)
        return Opened(manifest, bundle, terminal, plan, begun.removed, found), None

    def _plan_at_once(self, tx: Tx, begun: Begun) -> Plan | None:
        """The plan, made in this transaction; None if that is too much for one."""
        known, manifest, bundle = begun.known, begun.manifest, begun.bundle
        left = plan_steps.left(tx, known.id) if begun.standing.is_staged else None
        if left is not None:
            return preflight.make_plan_of_left(tx, known, manifest, bundle, left)
        if plan_steps.is_large(manifest):
            return None
        return preflight.make_plan(tx, known, manifest, bundle, self.fence.on_step)

    def _end_plan(self, tx: Tx, begun: Begun, staged: Staged) -> Plan:
        if staged.plan is None:
            return preflight.end_plan(tx, begun.known, begun.manifest, begun.bundle, staged.staging)
        finished = preflight.finished_payload(staged.plan, begun.manifest.index)
        ledger.append(tx, begun.known.id, "preflight_finished", **finished)
        return staged.plan

    def _needs_plan(self, tx: Tx, begun: Begun) -> bool:
        """Whether a plan has to be made, once what is to be repeated has been reset."""
        known, manifest = begun.known, begun.manifest
        if self._repeats_all(tx, begun.standing):
            item.reset(tx, known.id)
            removals.recount(tx, known)
        return known.plan_sha256 != manifest.sha256 or removals.may_have_grown(self.context, tx, known, manifest)

    def _repeats_all(self, tx: Tx, stands: Standing) -> bool:
        """Whether decided items are taken up, too: by a re-import, and where the version of the batch has changed."""
        is_reimport = self.lease.scope is Scope.REIMPORT and job.begin_reimport(tx, self.lease.job_id)
        if is_reimport or not self.lease.scope.takes_everything:
            return is_reimport
        return stands.has_moved

    def _current_batch(self, tx: Tx, delivered: Delivery) -> tuple[Standing, bool]:
        """The batch, locked and brought up to date, and whether the manifest that was read was recorded now."""
        stands = standing.lock(tx, self.lease.batch_id)
        known = stands.known
        if known.manifest_sha256 != delivered.sha256:
            columns = delivery.columns_of(delivered)
            delivery.change(tx, self.context, known, delivered, columns, queued=True, phase="import")
        elif known.manifest_completed_at is None and delivered.manifest is not None:
            delivery.complete(tx, known, delivered, delivered.manifest)
        else:
            return stands, False
        return standing.lock(tx, known.id), True

    def _record_start(self, tx: Tx, begun: Begun, plan: Plan | None) -> int:
        """Appends `import_started`; returns how many items are decided already. `plan`: of items without rows."""
        tally = item.tally(tx, self.lease.batch_id) if plan is None else plan.counts
        terminal = sum(tally[decision.value] for decision in SUCCEEDED)
        self.lease.items_done, self.lease.items_total = terminal, tally.total()
        of_all, stands = self.lease.scope.takes_everything, begun.standing
        versions.begin_import(tx, self.lease.batch_id, begun.bundle.version, stands.revision, of_all=of_all)
        started = start_payload(begun.manifest, tally.total(), terminal)
        ledger.append(tx, self.lease.batch_id, "import_started", **started)
        return terminal


def start_payload(manifest: Manifest, items: int, terminal: int) -> dict[str, Any]:
    """What `import_started` says of a batch with so many items, of which some are decided already."""
    return {
        "phase": "import",
        "action": manifest.action,
        "item_count": items,
        "container_count": manifest.distinct_containers,
        "already_terminal_count": terminal,
        "manifest_sha256": manifest.sha256,
        "max_items": 0,
    }

"""Leads one claimed job from its manifest to its end. Every transaction that writes for it ends with the fence."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import count

import structlog

from ingestd import logs
from ingestd.errors import (
    DatabaseUnavailable,
    DataRefused,
    IngestdError,
    LeaseLost,
    ManifestError,
    ManifestUnsettled,
    MountUnavailable,
    RemovalRefused,
    Stopping,
)
from ingestd.format.manifest import Manifest
from ingestd.format.manifest_index import index_manifest
from ingestd.model import SUCCEEDED, Action, BatchStatus, Decision, Lease, Reason, Verdict
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.reader import ItemReader, pauses
from ingestd.pipeline import delivery, preflight
from ingestd.pipeline.context import Context
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer import chunk_writer, completion, container_writer
from ingestd.pipeline.importer.chunk_source import ChunkSource
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.fence import Fence
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, prepare_chunk
from ingestd.pipeline.staging import Plan
from ingestd.store import batch, item, job, ledger
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_CRASHES = 3


class Run:
    """One run of one job. `execute` returns how it ended: done, failed, released or lost."""

    def __init__(self, context: Context, lease: Lease, stopping: threading.Event) -> None:
        self._context, self._lease = context, lease
        self._fence = Fence(context, lease, stopping)
        self._progress = Progress()
        self._plan: Plan | None = None

    def execute(self) -> str:
        lease = self._lease
        with logs.correlated(job_id=lease.job_id, worker=lease.worker_id, claim_token=lease.token):
            return self._execute()

    def _execute(self) -> str:
        try:
            return self._import()
        except Stopping:
            return self._release("stopping")
        except MountUnavailable as error:
            log.warning("mount_lost", error=str(error))
            return self._release("mount_unavailable")
        except LeaseLost as error:
            return self._lose(error)
        except DatabaseUnavailable as error:
            log.warning("job_abandoned", error=str(error))
            return "lost"
        except ManifestError as error:
            return self._fail(str(error), invalid=True)
        except RemovalRefused as error:
            return self._fail(str(error), refused=True)
        except IngestdError as error:
            return self._fail(str(error))
        except Exception as error:  # a surprise ends this job, not the thread
            log.exception("job_crashed")
            return self._fail(f"internal error: {type(error).__name__}: {error}")

    # from the manifest to the plan

    def _import(self) -> str:
        identity = self._context.mount.check()
        manifest = self._read_manifest(identity)
        bundle = preflight.bundle_of(manifest, index_manifest(manifest))
        refusal = self._fence.fenced(lambda tx: self._prepare(tx, manifest, bundle))
        if self._plan is not None:
            preflight.count(self._context, self._plan)
        if refusal is not None:
            raise refusal
        fresh_until = self._fresh_until()
        reader = ItemReader(self._context.mount, identity, self._fence.pause, self._fence.on_bytes, fresh_until)
        for covers in (False, True):
            source = (self._context.db, self._lease.batch_id, self._lease.scope, manifest, bundle, reader)
            chunks = ChunkSource(*source, covers=covers)
            self._import_items(chunks, bundle)
        self._import_containers(manifest, bundle)
        return self._finish()

    def _read_manifest(self, identity: MountIdentity) -> Manifest:
        """The manifest as it is now; an unreadable one is tried again for mount.settle_seconds."""
        sync_id = self._context.db.read(lambda tx: batch.find_by_id(tx, self._lease.batch_id)).sync_id
        logs.correlate(sync_id=sync_id)
        deadline = time.monotonic() + self._context.settings.mount.settle_seconds
        for pause in pauses():
            try:
                delivered = delivery.read(self._context, sync_id)
                break
            except ManifestUnsettled:
                self._context.mount.require_same(identity)
                if time.monotonic() >= deadline:
                    raise
                self._fence.pause(pause)
        if delivered.manifest is None:
            raise ManifestError([delivered.error or "unreadable"])
        return delivered.manifest

    def _fresh_until(self) -> float:
        """Until when (monotonic) a remote file system may not show yet what the bundle brought."""
        if not self._context.mount.is_remote:
            return 0.0
        age = self._context.db.read(lambda tx: batch.age(tx, self._lease.batch_id))
        return time.monotonic() + self._context.settings.mount.settle_seconds - age

    def _prepare(self, tx: Tx, manifest: Manifest, bundle: Bundle) -> RemovalRefused | None:
        """Makes the plan if there is none for this digest. A refusal is returned: the plan it rests on is kept."""
        known = batch.lock_by_id(tx, self._lease.batch_id)
        if known.manifest_sha256 != manifest.sha256:
            delivered = delivery.Delivered(manifest.sha256, manifest)
            delivery.change(tx, known, delivered, delivery.columns_of(delivered), queued=True, phase="import")
            known = batch.lock_by_id(tx, known.id)
        self._demand_present(tx, manifest)
        # A removal is planned anew each time: what it would remove may have grown since somebody looked.
        if known.plan_sha256 != manifest.sha256 or manifest.action is Action.REMOVE:
            self._plan = preflight.make_plan(tx, self._context.db, known, manifest, bundle.index, self._fence.on_step)
        job.consume(tx, self._lease.job_id, manifest.sha256)
        try:
            preflight.check_removals(self._context, tx, known)
        except RemovalRefused as refusal:
            return refusal
        self._append_start_event(tx, manifest)
        return None

    def _demand_present(self, tx: Tx, manifest: Manifest) -> None:
        max_future = self._context.settings.mount.max_future
        problem = delivery.future_problem(manifest.completed_at, batch.database_now(tx), max_future)
        if problem:
            raise ManifestError([problem])

    def _append_start_event(self, tx: Tx, manifest: Manifest) -> None:
        tally = item.tally(tx, self._lease.batch_id)
        self._progress.terminal = sum(tally[decision.value] for decision in SUCCEEDED)
        self._lease.items_done, self._lease.items_total = self._progress.terminal, tally.total()
        batch.set_status(tx, self._lease.batch_id, BatchStatus.IMPORTING)
        ledger.append(
            tx,
            self._lease.batch_id,
            "import_started",
            phase="import",
            action=manifest.action,
            item_count=tally.total(),
            container_count=len(manifest.containers()),
            already_terminal_count=self._progress.terminal,
            manifest_sha256=manifest.sha256,
            max_items=0,
        )

    # items

    def _import_items(self, chunks: ChunkSource, bundle: Bundle) -> None:
        size = self._context.settings.worker.chunk_items
        isolate_until = 2 * size if self._lease.isolate_items else 0
        remaining = self._lease.items_total - self._lease.items_done
        if isolate_until or remaining <= size:
            source: Generator[PreparedChunk, None, None] = chunks.each(
                lambda: 1 if self._progress.seen < isolate_until else size
            )
        else:
            source = chunks.prefetched(size)
        with closing(source):
            for chunk in source:
                self._fence.check()
                if isolate_until > self._progress.seen:
                    self._import_isolated(bundle, chunk)
                else:
                    self._import_chunk(bundle, chunk)

    def _import_isolated(self, bundle: Bundle, chunk: PreparedChunk) -> None:
        """One item at a time, named before it is taken: if it is what kills workers, the next one will know."""
        for chunk_item in chunk.items:
            if chunk_item.row.crash_count >= MAX_CRASHES:
                self._fail_item(
                    chunk_item, Reason.POISON, f"{chunk_item.row.crash_count} workers died while importing this item"
                )
                continue
            self._fence.fenced(lambda _tx: None, current_item_id=chunk_item.row.id)
            self._import_chunk(bundle, prepare_chunk(bundle, [chunk_item], chunk.state))

    def _import_chunk(self, bundle: Bundle, chunk: PreparedChunk) -> None:
        """Writes a chunk; one that the database refuses is halved until the offending item stands alone."""
        attempts, items = count(), chunk.items
        try:
            with self._context.instruments.chunk_duration.time():
                verdicts = self._fence.fenced(
                    lambda tx: chunk_writer.write(tx, self._lease.batch_id, bundle, chunk, next(attempts) > 0),
                    done=len(items),
                )
        except DataRefused as error:
            if len(items) == 1:
                self._fail_item(items[0], Reason.DATABASE_REFUSED, str(error))
                return
            middle = len(items) // 2
            for half in (items[:middle], items[middle:]):
                self._import_chunk(bundle, prepare_chunk(bundle, half, chunk.state))
            return
        self._count(verdicts)

    def _fail_item(self, chunk_item: ChunkItem, reason: Reason, error: str) -> None:
        verdict = Verdict(Decision.FAILED, reason, error)
        self._fence.fenced(lambda tx: chunk_writer.fail(tx, self._lease.batch_id, chunk_item, verdict), done=1)
        self._count([verdict])

    def _count(self, verdicts: Iterable[Verdict]) -> None:
        decisions = Counter((verdict.decision, verdict.reason) for verdict in verdicts)
        for (decision, reason), number in decisions.items():
            self._progress.note(decision, number)
            self._context.instruments.items.labels(decision.value).inc(number)
            if decision is Decision.FAILED:
                self._context.instruments.item_failures.labels(reason).inc(number)

    # containers

    def _import_containers(self, manifest: Manifest, bundle: Bundle) -> None:
        batch_id = self._lease.batch_id
        rows = self._context.db.read(lambda tx: item.undecided_containers(tx, batch_id, self._lease.scope))
        for entry in manifest.containers():
            row_id = rows.get(entry.identity)
            if row_id is None:
                continue
            self._fence.check()
            try:
                self._fence.fenced(
                    partial(container_writer.write, batch_id=batch_id, row_id=row_id, bundle=bundle, container=entry)
                )
            except DataRefused as error:
                refused = Verdict(Decision.FAILED, Reason.DATABASE_REFUSED, str(error))
                record = partial(container_writer.record, batch_id=batch_id, row_id=row_id, container=entry)
                self._fence.fenced(partial(record, verdict=refused, targets={}))

    # the end

    def _finish(self) -> str:
        status = self._fence.guarded(lambda tx: completion.finish(tx, self._lease, self._progress))
        log.info("job_finished", status=status.value, **self._progress.tally)
        return "done"

    def _fail(self, error: str, *, invalid: bool = False, refused: bool = False) -> str:
        def work(tx: Tx) -> None:
            completion.fail(tx, self._lease, self._progress, error, invalid=invalid, refused=refused)

        return self._last_word(work, "failed", error)

    def _release(self, reason: str) -> str:
        return self._last_word(lambda tx: completion.release(tx, self._lease, reason), "released", reason)

    def _last_word(self, work: Callable[[Tx], None], outcome: str, why: str) -> str:
        try:
            self._fence.guarded(work)
        except (LeaseLost, DatabaseUnavailable) as error:
            return self._lose(error)
        log.warning("job_released" if outcome == "released" else "job_finished", outcome=outcome, reason=why)
        return outcome

    def _lose(self, error: LeaseLost | DatabaseUnavailable) -> str:
        if isinstance(error, LeaseLost):
            self._context.instruments.leases_lost.inc()
        log.warning("lease_lost", error=str(error))
        return "lost"

"""Ends a run: finishes, fails or releases its job, each in one guarded transaction."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestd import decide
from ingestd.errors import RemovalRefused
from ingestd.model import DAEMON, DECIDED, SUCCEEDED, BatchStatus, Decision, InvalidBasis, JobState, Lease, Version
from ingestd.pipeline import ordering, removals
from ingestd.store import batch, batch_container, item, job, ledger
from ingestd.store.db import Tx
from ingestd.store.standing import Standing


@dataclass(slots=True)
class Progress:
    """What one run has decided. `terminal` items were decided before it began.

    `planned` items have rows only when they are decided; 0 if all have had them before.
    """

    terminal: int = 0
    planned: int = 0
    seen: int = 0
    tally: Counter[str] = field(default_factory=Counter)

    def note(self, decision: Decision, count: int) -> None:
        self.seen += count
        self.tally[decision.value] += count

    def take_back(self, decisions: Counter[str]) -> None:
        """Forgets the decisions of items that are taken up again: those of this run, as far as it has as many."""
        for decision, count in decisions.items():
            of_run = min(count, self.tally[decision])
            self.note(Decision(decision), -of_run)
            self.terminal -= count - of_run


def finish(tx: Tx, lease: Lease, progress: Progress, *, is_counted: bool = False) -> BatchStatus:
    """Ends a run that handled all of its items, whatever was decided of them.

    `is_counted`: its items were counted in the same transaction.
    """
    if not is_counted:
        item.recount(tx, lease.batch_id)
    items, containers = item.tally(tx, lease.batch_id), batch_container.tally(tx, lease.batch_id)
    status = decide.batch_status(True, items + containers, finished=True)
    batch.finish(tx, lease.batch_id, status, _batch_error(items, containers))
    _append_end(tx, lease, progress, _summary(progress, items, status))
    _end_job(tx, lease, JobState.DONE, None, _result(items, containers))
    return status


def finish_first(
    tx: Tx, lease: Lease, progress: Progress, sha256: str, version: Version, began: Standing
) -> BatchStatus:
    """Ends a run that planned and handled all items of a batch without containers, of which nothing was imported."""
    status, error = decide.batch_status(True, progress.tally, finished=True), _batch_error(progress.tally, Counter())
    batch.finish_first(tx, lease.batch_id, status, error, sha256, version, began.revision)
    _append_end(tx, lease, progress, _summary(progress, progress.tally, status))
    job.finish(tx, lease, JobState.DONE, None, _result(progress.tally, Counter()), sha256)
    if began.has_successors:
        lease.has_promoted = ordering.promote_successors(tx, lease.batch_id)
    return status


def end_events(lease: Lease, progress: Progress) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The batch, type and payload of the events that end a first import of which nothing failed or waits."""
    summary = _summary(progress, progress.tally, BatchStatus.IMPORTED)
    for kind, payload in _end_events(lease, progress, summary):
        yield lease.batch_id, kind, payload


def _append_end(tx: Tx, lease: Lease, progress: Progress, summary: dict[str, Any]) -> None:
    ledger.append_all(tx, lease.batch_id, _end_events(lease, progress, summary))


def _end_events(lease: Lease, progress: Progress, summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    of_import = {key: summary[key] for key in ("status", "remaining", "tally")}
    finished = {"phase": "import", "skipped_terminal": progress.terminal, **of_import}
    return [("import_finished", finished), ("job_finished", _finish_payload(lease, progress, None, summary))]


def invalidate(tx: Tx, lease: Lease, progress: Progress, error: str, basis: InvalidBasis) -> BatchStatus:
    """Ends a run whose bundle cannot be consumed. `basis` is what that rests on."""
    batch.invalidate(tx, lease.batch_id, error, basis)
    ledger.append(tx, lease.batch_id, "batch_invalid", phase="import", error=error)
    batch.finish(tx, lease.batch_id, BatchStatus.INVALID, error)
    return _end_failed(tx, lease, progress, error, BatchStatus.INVALID)


def refuse(tx: Tx, lease: Lease, progress: Progress, error: str, refusal: RemovalRefused) -> BatchStatus:
    """Ends a run whose removals are more than allowed; the batch is held until it is approved or delivered again."""
    batch.finish(tx, lease.batch_id, BatchStatus.HELD, error)
    known = batch.lock_by_id(tx, lease.batch_id)
    removals.hold(tx, known, refusal, phase="import", requested_by=lease.worker_id)
    return _end_failed(tx, lease, progress, error, BatchStatus.HELD)


def fail(tx: Tx, lease: Lease, progress: Progress, error: str, pauses: Sequence[float]) -> BatchStatus:
    """Ends a run that failed as a whole, for a reason that is not the bundle's; a sweep tries again after a pause.

    `pauses` in seconds, one for each retry; then a person must queue it. A job that a person queued begins with the
    first of them.
    """
    known, ended = batch.lock_by_id(tx, lease.batch_id), job.find(tx, lease.job_id)
    earlier = known.failure_count if ended is not None and ended.requested_by == DAEMON else 0
    retry_after = pauses[earlier] if earlier < len(pauses) else None
    batch.fail(tx, lease.batch_id, error, earlier + 1, retry_after)
    return _end_failed(tx, lease, progress, error, BatchStatus.FAILED)


def _end_failed(tx: Tx, lease: Lease, progress: Progress, error: str, status: BatchStatus) -> BatchStatus:
    items = item.tally(tx, lease.batch_id)
    summary = _summary(progress, items, status)
    ledger.append(tx, lease.batch_id, "job_finished", **_finish_payload(lease, progress, error, summary))
    _end_job(tx, lease, JobState.FAILED, error, _result(items, Counter()))
    return status


def _end_job(tx: Tx, lease: Lease, state: JobState, error: str | None, result: Mapping[str, int]) -> None:
    job.finish(tx, lease, state, error, result)
    lease.has_promoted = ordering.promote_successors(tx, lease.batch_id)


def release(tx: Tx, lease: Lease, reason: str) -> BatchStatus:
    """Puts the job back into the queue, and records the reason."""
    batch.set_status(tx, lease.batch_id, BatchStatus.QUEUED)
    payload = {"job_id": lease.job_id, "worker_id": lease.worker_id, "reason": reason}
    ledger.append(tx, lease.batch_id, "job_released", phase="job_release", **payload)
    job.release(tx, lease)
    ordering.hold_back(tx, lease.batch_id)
    return BatchStatus.QUEUED


def _summary(progress: Progress, items: Counter[str], status: BatchStatus) -> dict[str, Any]:
    terminal = sum(items[decision.value] for decision in (*SUCCEEDED, Decision.FAILED))
    return {
        "ok": int(not items[Decision.FAILED.value]),
        "status": status.value,
        "remaining": max(items.total(), progress.planned) - terminal,
        "tally": {decision.value: progress.tally[decision.value] for decision in DECIDED},
    }


def _finish_payload(lease: Lease, progress: Progress, error: str | None, summary: dict[str, Any]) -> dict[str, Any]:
    """What `job_finished` says."""
    ok = int(error is None and summary["ok"])
    outer = {"items_seen": progress.seen, "ok": ok, "status": summary["status"], "summary": summary}
    return {"phase": "job_finish", "job_id": lease.job_id, "error": error, "summary": outer}


def _result(items: Counter[str], containers: Counter[str]) -> dict[str, int]:
    """The decisions on the items of a batch, and how many of its containers need attention."""
    counts = {decision.value: items[decision.value] for decision in DECIDED}
    counts |= {f"containers_{kind.value}": containers[kind.value] for kind in (Decision.DEFERRED, Decision.FAILED)}
    return {name: count for name, count in counts.items() if count}


def _batch_error(items: Counter[str], containers: Counter[str]) -> str | None:
    """The counts of failed and deferred items and containers: "1 item failed, 2 containers deferred"."""
    parts = [
        f"{counts[decision]} {noun}{'' if counts[decision] == 1 else 's'} {decision}"
        for noun, counts in (("item", items), ("container", containers))
        for decision in (Decision.FAILED.value, Decision.DEFERRED.value)
        if counts[decision]
    ]
    return ", ".join(parts) or None

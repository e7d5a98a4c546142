"""Keeps the item and container rows of a batch in step with its manifest; final decisions are kept."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from ingestd.decide import of_awaited
from ingestd.errors import DatabaseUnavailable
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.format.manifest_index import ManifestIndex
from ingestd.model import DECIDED, FORECAST, SUCCEEDED, Decision, Reason, Verdict
from ingestd.pipeline.prefetch import prefetch
from ingestd.removal_counts import NO_REMOVALS, Removals
from ingestd.service import tick
from ingestd.store import item
from ingestd.store.db import Database, Tx
from ingestd.store.item import StagedItem

ENTRIES_PER_STEP = 1000
SAMPLES = 5
MAX_REMOVED_AGAIN = 10_000


class Forecast(NamedTuple):
    """What an import would decide about an entry, and take out of sight for it."""

    verdict: Verdict
    removals: Removals


Forecaster = Callable[[Tx, Sequence[Entry]], Sequence[Forecast]]
PENDING = Forecast(Verdict(Decision.PENDING), NO_REMOVALS)


@dataclass(slots=True)
class Plan:
    """The result of a pre-flight: counts of listed items by forecast and by type, and the first that will fail.

    `removals` are the rows that undecided items and containers would take out of sight. `removed_again` are rows of
    failed items whose removal is tried again; beyond the limit, what goes with their assets is counted beside them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    failure_samples: list[dict[str, Any]] = field(default_factory=list)
    removals: Removals = NO_REMOVALS
    removed_again: list[int] = field(default_factory=list)

    def note_again(self, row: StagedItem, decision: Decision) -> None:
        is_again = row.decision is Decision.FAILED and decision is Decision.WILL_REMOVE
        if is_again and len(self.removed_again) < MAX_REMOVED_AGAIN:
            self.removed_again.append(row.id)

    def note(self, entry: Entry, decision: Decision, error: str | None) -> None:
        self.counts[decision.value] += 1
        self.types[entry.asset_type] += 1
        if decision is Decision.WILL_FAIL and len(self.failure_samples) < SAMPLES:
            self.failure_samples.append({"type": entry.asset_type, "hash": entry.asset_hash, "error": error})

    @property
    def is_ok(self) -> bool:
        return not self.counts[Decision.WILL_FAIL.value]

    @property
    def item_count(self) -> int:
        return self.counts.total()


def plan_of_new(forecasts: Iterable[tuple[Entry, Forecast]]) -> Plan:
    """The plan of a batch without rows; it writes none."""
    plan = Plan()
    for entry, (verdict, removals) in forecasts:
        plan.removals += removals
        plan.note(entry, FORECAST.get(verdict.decision, verdict.decision), verdict.error)
    return plan


def restage(tx: Tx, batch_id: int, manifest: Manifest) -> None:
    """Updates the rows after a re-delivery: changed items become pending, items no longer listed are dropped.

    A batch without a plan has no rows yet, so there is nothing to do.
    """
    existing = item.existing(tx, batch_id)
    if existing:
        staging = _Staging(tx, batch_id, existing, None)
        steps = (partial(staging.compare, part, None) for part in parts(manifest.standing()))
        staging.write(steps, manifest, tick)
        item.recount(tx, batch_id)
        stage_containers(tx, batch_id, manifest)


def stage(
    tx: Tx,
    db: Database,
    batch_id: int,
    manifest: Manifest,
    index: ManifestIndex,
    forecast: Forecaster,
    on_progress: Callable[[], None],
    *,
    is_new: bool,
) -> Plan:
    """Brings all rows into step with the manifest, and writes the forecast of items without a final decision.

    For a long manifest, the forecast of the next part is made while the current part is written, on a connection of its
    own: a forecast needs no locks, and does not read what this transaction writes.
    """
    staging = _Staging(tx, batch_id, item.existing(tx, batch_id), forecast, is_new=is_new)
    listed = parts(manifest.standing())
    if index.item_count > ENTRIES_PER_STEP:
        steps = prefetch(staging.compare_ahead(part, db) for part in listed)
    else:
        steps = (partial(staging.compare, part, None) for part in listed)
    staging.write(steps, manifest, on_progress)
    item.recount(tx, batch_id)
    stage_containers(tx, batch_id, manifest)
    return staging.plan


@dataclass(slots=True)
class _Step:
    """The rows to write for one part of a manifest."""

    new: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)


class _Staging:
    """Compares a manifest with the existing rows, once. Without `forecast`, undecided items become pending."""

    def __init__(
        self,
        tx: Tx,
        batch_id: int,
        existing: dict[tuple[str, str, str], StagedItem],
        forecast: Forecaster | None,
        *,
        is_new: bool = True,
    ) -> None:
        self._tx, self._batch_id, self._existing, self._forecast = tx, batch_id, existing, forecast
        self._is_new = is_new
        self.plan = Plan()

    def write(
        self, steps: Generator[Callable[[], _Step], None, None], manifest: Manifest, on_progress: Callable[[], None]
    ) -> None:
        """Writes the rows of each step. Entries that come or go change ordinals, but not the identity of rows."""
        item.drop(self._tx, self._gone(manifest))
        with closing(steps):
            for make_step in steps:
                step = make_step()
                item.stage(self._tx, self._batch_id, step.new)
                item.restage(self._tx, step.changed)
                on_progress()

    def _gone(self, manifest: Manifest) -> list[int]:
        """The rows of items that the manifest does not list any more."""
        listed = {entry.identity for entry in manifest.standing()} if self._existing else ()
        return [row.id for key, row in self._existing.items() if row.in_manifest and key not in listed]

    def compare_ahead(self, part: Sequence[Entry], db: Database) -> Callable[[], _Step]:
        """The rows that one part changes; made in the open transaction if there is no second connection."""
        try:
            step = self.compare(part, db)
        except DatabaseUnavailable:
            return partial(self.compare, part, None)
        return lambda: step

    def compare(self, part: Sequence[Entry], db: Database | None) -> _Step:
        """The rows that one part changes. The forecast reads from `db`, or in the open transaction if that is None."""
        step = _Step()
        for entry, (forecast, removals) in zip(part, self._forecasts(part, db), strict=True):
            row = self._existing.get(entry.identity)
            was_deferred = row is not None and row.decision is Decision.DEFERRED and _is_unchanged(row, entry)
            verdict = of_awaited(forecast) if was_deferred else forecast
            decision = FORECAST.get(verdict.decision, verdict.decision)
            if row is None:
                step.new.append(new_row(entry, decision, verdict))
            elif self._stands(row, entry, verdict):
                step.changed += _moved_row(row, entry)
                self.plan.note_again(row, decision)
            else:
                step.changed += _changed_row(row, entry, decision, verdict)
            # A run leaves alone what succeeded, and tries again what failed or waits.
            is_done = row is not None and row.decision in SUCCEEDED and self._stands(row, entry, verdict)
            self.plan.removals += NO_REMOVALS if is_done else removals
            self.plan.note(entry, Decision.WILL_SKIP if is_done else decision, verdict.error)
        return step

    def _stands(self, row: StagedItem, entry: Entry, forecast: Verdict) -> bool:
        """Whether a row keeps its decision. A forecast never replaces what an import decided, and sweeps look for.

        Except where another manifest has other entries beside it, which decide what cover of the bundle counts.
        """
        if not _is_unchanged(row, entry) or self._forecast is None:
            return _is_unchanged(row, entry)
        was_outranked, is_outranked = (reason == Reason.OUTRANKED for reason in (row.reason, forecast.reason))
        keeps_rank = not self._is_new or was_outranked == is_outranked
        return row.decision in DECIDED and (keeps_rank or row.decision not in SUCCEEDED)

    def _forecasts(self, part: Sequence[Entry], db: Database | None) -> Sequence[Forecast]:
        forecast = self._forecast
        if forecast is None:
            return [PENDING] * len(part)
        if db is None:
            return forecast(self._tx, part)
        return db.read(lambda tx: forecast(tx, part), keep_waiting=lambda: False)


def _is_unchanged(row: StagedItem, entry: Entry) -> bool:
    return row.in_manifest and row.entry_sha256 == entry.sha256


def new_row(entry: Entry, decision: Decision, verdict: Verdict) -> tuple[Any, ...]:
    """The row of a new item, as `item.stage` takes it."""
    identity = (entry.ordinal, entry.asset_type, entry.asset_hash, entry.cover_hash, entry.parent_hash, entry.sha256)
    return (*identity, decision, verdict.reason, verdict.waiting_for, verdict.error)


def _changed_row(row: StagedItem, entry: Entry, decision: Decision, verdict: Verdict) -> Iterator[tuple[Any, ...]]:
    before = (row.ordinal, row.entry_sha256, row.in_manifest, row.decision, row.reason, row.waiting_for)
    after = (entry.ordinal, entry.sha256, True, decision, verdict.reason, verdict.waiting_for)
    if before != after:
        listed = (row.id, entry.ordinal, entry.cover_hash, entry.sha256)
        yield (*listed, decision, verdict.reason, verdict.waiting_for, verdict.error)


def _moved_row(row: StagedItem, entry: Entry) -> Iterator[tuple[Any, ...]]:
    if row.ordinal != entry.ordinal:
        listed = (row.id, entry.ordinal, entry.cover_hash, entry.sha256)
        yield (*listed, row.decision, row.reason, row.waiting_for, None)


def stage_containers(tx: Tx, batch_id: int, manifest: Manifest) -> None:
    """Brings the container rows of a batch into step with its manifest; changed ones become pending."""
    existing = item.existing_containers(tx, batch_id)
    listed = {container.identity: (container.ordinal, container.sha256) for container in manifest.containers()}
    item.drop_containers(tx, [row.id for key, row in existing.items() if row.in_manifest and key not in listed])
    for key, (ordinal, sha256) in listed.items():
        row = existing.get(key)
        if row is None:
            item.stage_container(tx, batch_id, ordinal, *key, sha256)
        elif row.entry_sha256 != sha256 or not row.in_manifest:
            item.restage_container(tx, row.id, ordinal, sha256)


def parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in lists of bounded length."""
    entries = iter(entries)
    while part := list(islice(entries, ENTRIES_PER_STEP)):
        yield part

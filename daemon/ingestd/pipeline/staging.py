"""Keeps the item and container rows of a batch in step with its manifest; final decisions are kept."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from ingestd.decide import of_awaited
from ingestd.format.entry import Entry
from ingestd.format.manifest import Manifest
from ingestd.format.manifest_index import Identity
from ingestd.model import DECIDED, FORECAST, SUCCEEDED, Decision, Reason, Verdict, numbers_of
from ingestd.removal_counts import NO_REMOVALS, Removals
from ingestd.service import tick
from ingestd.store import batch_container, item, standing
from ingestd.store.db import Tx
from ingestd.store.item import StagedItem

ENTRIES_PER_STEP = 1000
SAMPLES = 5
MAX_REMOVED_AGAIN = 10_000


class Forecast(NamedTuple):
    """What an import would decide about an entry, and take out of sight for it."""

    verdict: Verdict
    removals: Removals


Existing = Mapping[Identity, StagedItem]
Forecaster = Callable[[Tx, Sequence[Entry]], Sequence[Forecast]]
PENDING = Forecast(Verdict(Decision.PENDING), NO_REMOVALS)
KEPT = Forecast(Verdict(Decision.SKIPPED), NO_REMOVALS)
"""of an entry whose row stands, whatever the library says: it is not looked up"""


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

    def add(self, part: "Plan") -> None:
        """Adds what was planned of some more entries."""
        self.counts += part.counts
        self.types += part.types
        self.failure_samples += part.failure_samples[: SAMPLES - len(self.failure_samples)]
        self.removals += part.removals
        self.removed_again += part.removed_again[: MAX_REMOVED_AGAIN - len(self.removed_again)]

    def note_again(self, row: StagedItem, decision: Decision) -> None:
        is_again = row.decision is Decision.FAILED and decision is Decision.WILL_REMOVE
        if is_again and len(self.removed_again) < MAX_REMOVED_AGAIN:
            self.removed_again.append(row.id)

    def note(self, entry: Entry, decision: Decision, error: str | None) -> None:
        self.counts[decision.value] += 1
        self.types[entry.asset_type] += 1
        if decision is Decision.WILL_FAIL:
            self.note_failure(entry, error)

    def note_failure(self, entry: Entry, error: str | None) -> None:
        if len(self.failure_samples) < SAMPLES:
            self.failure_samples.append({"type": entry.asset_type, "hash": entry.asset_hash, "error": error})

    @property
    def is_ok(self) -> bool:
        return not self.counts[Decision.WILL_FAIL.value]

    @property
    def item_count(self) -> int:
        return self.counts.total()


def plan_of_new(forecasts: Iterable[tuple[Entry, Forecast]]) -> Plan:
    """The plan of a batch without rows; it writes none."""
    made = list(forecasts)
    plan = Plan(types=Counter([entry.asset_type for entry, _ in made]))
    for verdict, count in numbers_of([verdict for _, (verdict, _) in made]):
        plan.counts[FORECAST.get(verdict.decision, verdict.decision).value] += count
    for entry, (verdict, removals) in made:
        if removals is not NO_REMOVALS:
            plan.removals += removals
        if verdict.decision is Decision.FAILED:
            plan.note_failure(entry, verdict.error)
    return plan


def restage(tx: Tx, batch_id: int, manifest: Manifest) -> None:
    """Updates the rows after a re-delivery: changed items become pending, items no longer listed are dropped.

    A batch without a plan has no rows yet, so there is nothing to do.
    """
    staging = Staging(batch_id, manifest, None, had_rows=item.has_any(tx, batch_id))
    if staging.had_rows:
        staging.write_all(tx, tick)
        staging.finish(tx)
        standing.note_staged(tx, batch_id)


class Staging:
    """Compares a manifest with the rows of its batch, once. Without `forecast`, undecided items become pending.

    Rows are written in parts, each in one transaction or all in the same. Entries that come or go change ordinals, but
    not the identity of rows. `had_rows`: the batch has some already. `plan` is what the caller adds of the parts that
    were committed.
    """

    def __init__(
        self, batch_id: int, manifest: Manifest, forecast: Forecaster | None, *, had_rows: bool, is_new: bool = True
    ) -> None:
        self._batch_id, self._manifest, self._forecast = batch_id, manifest, forecast
        self._is_new = is_new
        self.had_rows = had_rows
        self._is_in_step = False
        self.plan = Plan()

    def write(self, tx: Tx, part: Sequence[Entry], forecasts: Sequence[Forecast] | None = None) -> Plan:
        """Writes the rows of some entries; returns their part of the plan. `forecasts`, if they are made already."""
        existing = self._rows_of(tx, part)
        if forecasts is None or _has_moved_on(part, forecasts, existing):
            forecasts = self._forecasts_of(tx, part, existing)
        step = self._compare(part, forecasts, existing)
        item.stage(tx, self._batch_id, step.new)
        item.restage(tx, step.changed)
        return step.plan

    def write_all(self, tx: Tx, on_progress: Callable[[], None]) -> None:
        """Writes all rows, in one transaction."""
        for part in self.parts():
            self.plan.add(self.write(tx, part))
            on_progress()

    def write_left(self, tx: Tx, left: Sequence[int]) -> None:
        """As `write_all`, where all rows are in step, and only those of the entries at some places may change."""
        self._is_in_step = True
        entries = list(map(self._manifest.entry, left))
        self.plan.types = Counter(self._manifest.index.types) - Counter(entry.asset_type for entry in entries)
        self.plan.counts[Decision.WILL_SKIP.value] = self.plan.types.total()
        for start in range(0, len(entries), ENTRIES_PER_STEP):
            self.plan.add(self.write(tx, entries[start : start + ENTRIES_PER_STEP]))

    def parts(self) -> Iterator[list[Entry]]:
        """The entries of the manifest in lists of bounded length."""
        entries = self._manifest.standing()
        while part := list(islice(entries, ENTRIES_PER_STEP)):
            yield part

    def finish(self, tx: Tx) -> None:
        """Drops what is not listed any more, counts the rows, and brings those of containers into step."""
        for step in self.dropping() if self.has_gone(tx) else ():
            step(tx)
        item.recount(tx, self._batch_id)
        stage_containers(tx, self._batch_id, self._manifest)

    def has_gone(self, tx: Tx) -> bool:
        """Whether there are rows of items that are not listed any more, once all that are listed have theirs."""
        return (
            self.had_rows
            and not self._is_in_step
            and item.count_listed(tx, self._batch_id) > self._manifest.index.item_count
        )

    def dropping(self) -> Iterator[Callable[[Tx], None]]:
        """What drops them, part by part."""
        count = self._manifest.item_count
        for first in range(0, count, ENTRIES_PER_STEP):
            yield partial(self._drop_gone, first=first, end=min(first + ENTRIES_PER_STEP, count))
        yield partial(item.drop_from, batch_id=self._batch_id, first=count)

    def _drop_gone(self, tx: Tx, first: int, end: int) -> None:
        """Drops the rows at some places that are of no entry: the row of each entry is at its place by now."""
        rows = item.at(tx, self._batch_id, first, end)
        gone = (row for key, row in rows.items() if self._manifest.entry(row.ordinal).identity != key)
        item.drop(tx, [row.id for row in gone])

    def forecasts(self, tx: Tx, part: Sequence[Entry]) -> Sequence[Forecast]:
        """Forecasts of some entries, made before they are written."""
        return self._forecasts_of(tx, part, self._rows_of(tx, part) if self._forecast else {})

    def _rows_of(self, tx: Tx, part: Sequence[Entry]) -> Existing:
        """The rows of some entries. Most are where they were in the manifest before, which is quicker to read."""
        if not self.had_rows:
            return {}
        first = part[0].ordinal
        found = item.at(tx, self._batch_id, first, first + ENTRIES_PER_STEP)
        elsewhere = [entry.identity for entry in part if entry.identity not in found]
        return found | item.existing(tx, self._batch_id, elsewhere) if elsewhere else found

    def _forecasts_of(self, tx: Tx, part: Sequence[Entry], existing: Existing) -> Sequence[Forecast]:
        if self._forecast is None:
            return [PENDING] * len(part)
        kept = [_is_kept(existing.get(entry.identity), entry) for entry in part]
        left = [entry for entry, is_kept in zip(part, kept, strict=True) if not is_kept]
        made = iter(self._forecast(tx, left) if left else ())
        return [KEPT if is_kept else next(made) for is_kept in kept]

    def _compare(self, part: Sequence[Entry], forecasts: Sequence[Forecast], existing: Existing) -> "_Step":
        """The rows that one part changes."""
        step = _Step()
        for entry, (forecast, removals) in zip(part, forecasts, strict=True):
            row = existing.get(entry.identity)
            was_deferred = row is not None and row.decision is Decision.DEFERRED and _is_unchanged(row, entry)
            verdict = of_awaited(forecast) if was_deferred else forecast
            decision = FORECAST.get(verdict.decision, verdict.decision)
            if row is None:
                step.new.append(new_row(entry, decision, verdict))
            elif self._stands(row, entry, verdict):
                step.changed += _moved_row(row, entry)
                step.plan.note_again(row, decision)
            else:
                step.changed += _changed_row(row, entry, decision, verdict)
            # A run leaves alone what succeeded, and tries again what failed or waits.
            is_done = row is not None and row.decision in SUCCEEDED and self._stands(row, entry, verdict)
            step.plan.removals += NO_REMOVALS if is_done else removals
            step.plan.note(entry, Decision.WILL_SKIP if is_done else decision, verdict.error)
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


@dataclass(slots=True)
class _Step:
    """The rows to write for one part of a manifest, and its part of the plan."""

    new: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)


def _is_kept(row: StagedItem | None, entry: Entry) -> bool:
    """Whether a row stands without a forecast. Of a cover that depends on the entries beside it."""
    return row is not None and row.decision in SUCCEEDED and not entry.is_cover and _is_unchanged(row, entry)


def _has_moved_on(part: Sequence[Entry], forecasts: Sequence[Forecast], existing: Existing) -> bool:
    """Whether a row changed since it was found to stand."""
    pairs = zip(part, forecasts, strict=True)
    return any(made is KEPT and not _is_kept(existing.get(entry.identity), entry) for entry, made in pairs)


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
    existing = batch_container.existing(tx, batch_id)
    listed = {container.identity: (container.ordinal, container.sha256) for container in manifest.containers()}
    batch_container.drop(tx, [row.id for key, row in existing.items() if row.in_manifest and key not in listed])
    new = [(ordinal, *key, sha256) for key, (ordinal, sha256) in listed.items() if key not in existing]
    batch_container.stage(tx, batch_id, new)
    known = [(existing[key], *of_entry) for key, of_entry in listed.items() if key in existing]
    changed = [
        (row.id, ordinal, sha256) for row, ordinal, sha256 in known if row.entry_sha256 != sha256 or not row.in_manifest
    ]
    batch_container.restage(tx, changed)

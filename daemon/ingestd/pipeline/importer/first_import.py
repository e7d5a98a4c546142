"""Imports a small bundle of which only its batch is recorded: each of its rows is written once, when all is decided."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingestd.format.entry import Entry
from ingestd.model import Decision, Lease, Scope, Verdict
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.pipeline import forecast, preflight, staging
from ingestd.pipeline.evaluate import LibraryState, load_state
from ingestd.pipeline.importer import chunk_writer, completion
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.imported import Imported
from ingestd.pipeline.importer.opened import Begun
from ingestd.pipeline.importer.opening import start_payload
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, prepare_chunk
from ingestd.pipeline.passes import Part
from ingestd.pipeline.staging import Plan
from ingestd.store import item, ledger
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem


def run(tx: Tx, lease: Lease, begun: Begun, readings: ReadingsByOrdinal) -> Imported | None:
    """None, and nothing written, if rows exist, or if containers or removals have to see those of its items."""
    if not _is_first(lease, begun):
        return None
    entries = [begun.manifest.entry(ordinal) for ordinal in sorted(readings)]
    state = load_state(tx, begun.bundle, entries, lock=True)
    forecasts = forecast.from_state(tx, begun.bundle, entries, state)
    plan = staging.plan_of_new(zip(entries, forecasts, strict=True))
    if plan.removals.total:
        return None
    return _FirstImport(tx, lease, begun, readings, Imported(plan, Progress())).run(plan, entries, state)


def _is_first(lease: Lease, begun: Begun) -> bool:
    is_new = begun.known.plan_sha256 is None and not begun.standing.has_rows
    return is_new and lease.scope is Scope.ALL and next(iter(begun.manifest.containers()), None) is None


@dataclass(frozen=True, slots=True)
class _FirstImport:
    """One import; what it has done is noted in `done`."""

    tx: Tx
    lease: Lease
    begun: Begun
    readings: ReadingsByOrdinal
    done: Imported

    def run(self, plan: Plan, entries: Sequence[Entry], state: LibraryState) -> Imported:
        lease, done = self.lease, self.done
        self._append_start(plan)
        decided = self._import(Part.ITEM, [entry for entry in entries if not entry.is_cover], state)
        if covers := [entry for entry in entries if entry.is_cover]:
            # They see what the assets of their own bundle have changed.
            decided += self._import(Part.COVER, covers, load_state(self.tx, self.begun.bundle, covers, lock=True))
        self._write_items(decided)
        lease.items_done, lease.items_total = done.progress.seen, len(entries)
        begun, sha256 = self.begun, self.begun.manifest.sha256
        done.status = completion.finish_first(
            self.tx, lease, done.progress, sha256, begun.bundle.version, begun.standing
        )
        return done

    def _append_start(self, plan: Plan) -> None:
        manifest = self.begun.manifest
        events = [
            ("preflight_started", preflight.started_payload(manifest)),
            ("preflight_finished", preflight.finished_payload(plan, manifest.index)),
            ("import_started", start_payload(manifest, plan.item_count, 0)),
        ]
        ledger.append_all(self.tx, self.lease.batch_id, events)

    def _import(self, part: Part, entries: Sequence[Entry], state: LibraryState) -> list[tuple[ChunkItem, Verdict]]:
        """Writes what the library gets of some entries; returns what was decided of each."""
        if not entries:
            return []
        items = [ChunkItem(_new(entry), entry, self.readings[entry.ordinal]) for entry in entries]
        chunk = prepare_chunk(self.begun.bundle, items, state)
        self.done.note(part, chunk.verdicts)
        chunk_writer.write_library(self.tx, self.begun.bundle, chunk, self.begun.removed)
        return list(chunk.decided())

    def _write_items(self, decided: Sequence[tuple[ChunkItem, Verdict]]) -> None:
        """Writes the items, an event for each, and how many there are of each decision."""
        batch_id, in_order = self.lease.batch_id, sorted(decided, key=lambda one: one[0].entry.ordinal)
        rows = [(*staging.new_row(one.entry, verdict.decision, verdict), batch_id) for one, verdict in in_order]
        item.stage_decided(self.tx, rows)
        ledger.append_items_of(self.tx, [batch_id])
        item.shift_tally(self.tx, batch_id, (), (verdict for _, verdict in decided))


def _new(entry: Entry) -> OpenItem:
    """In place of the row, which is written when all is decided."""
    return OpenItem(0, entry.ordinal, 0, Decision.PENDING.value, "")

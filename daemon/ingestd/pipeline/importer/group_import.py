"""Imports several small new bundles in one transaction: each of its statements is about all of them.

Only bundles of new assets take part. Those that turn out to be others are left out, before anything is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingestd.format.entry import Entry
from ingestd.model import Decision, Lease, Verdict, Version
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.records import SOURCE
from ingestd.pipeline import forecast, future, ordering, preflight, staging
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.evaluate import Bundle, LibraryState
from ingestd.pipeline.importer import completion
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.opening import start_payload
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, file_rows, prepare_chunk
from ingestd.pipeline.staging import Plan
from ingestd.store import due, item, job_groups, ledger, library, standing
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem
from ingestd.store.job_groups import Ended
from ingestd.store.standing import Standing
from ingestd.store.values import Json, rows_of

CREATED = Verdict(Decision.CREATED)
Event = tuple[int | None, str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Member:
    """A bundle that may be imported with others, and what was read of it."""

    lease: Lease
    delivered: Delivery
    readings: ReadingsByOrdinal

    @property
    def is_plain(self) -> bool:
        """Whether it lists nothing but valid assets."""
        return not any(entry.problem or entry.is_cover for entry in self.entries)

    @property
    def hashes(self) -> set[str]:
        return {entry.asset_hash for entry in self.entries}

    @property
    def entries(self) -> list[Entry]:
        assert self.delivered.manifest is not None, "it was found to be consumable"
        return list(self.delivered.manifest.standing())


@dataclass(frozen=True, slots=True)
class Decided:
    """A bundle all of whose items are created."""

    member: Member
    stands: Standing
    version: Version
    plan: Plan
    chunk: PreparedChunk
    progress: Progress

    @property
    def lease(self) -> Lease:
        return self.member.lease


def run(tx: Tx, context: Context, members: Sequence[Member]) -> list[Decided]:
    """Imports those of some bundles that can be imported together; returns them. Raises LeaseLost."""
    decided = _decide_all(tx, context, [member for member in members if member.is_plain])
    if len(decided) < 2:
        return []
    _append_starts(tx, decided)
    _write_library(tx, decided)
    _write_items(tx, decided)
    _end(tx, decided)
    return decided


def _decide_all(tx: Tx, context: Context, members: Sequence[Member]) -> list[Decided]:
    """What is decided of those that can be imported: of two that name the same assets, the first one."""
    stands = standing.lock_all(tx, sorted(member.lease.batch_id for member in members))
    taken = set(library.named(tx, sorted(set().union(*(member.hashes for member in members)))))
    decided: list[Decided] = []
    for member in members:
        stands_now = stands[member.lease.batch_id]
        if member.hashes & taken or not _is_new(context, member.delivered, stands_now):
            continue
        if (made := _decide(tx, member, stands_now)) is not None:
            decided.append(made)
            taken |= member.hashes
    return decided


def _is_new(context: Context, delivered: Delivery, stands: Standing) -> bool:
    """Whether only the batch is recorded of a bundle, with this manifest, and nothing keeps it from its import."""
    known, max_future = stands.known, context.settings.mount.max_future
    is_same = known.manifest_sha256 == delivered.sha256 and known.manifest_completed_at is not None
    if not is_same or stands.version is None or known.prior_sync_id is not None or stands.has_rows:
        return False
    is_early = future.problem_of(stands.version.completed_at, stands.now, max_future) is not None
    return known.plan_sha256 is None and not is_early


def _decide(tx: Tx, member: Member, stands: Standing) -> Decided | None:
    """None if an item is not simply created."""
    manifest, entries, state = member.delivered.manifest, member.entries, LibraryState()
    assert manifest is not None, "it was found to be consumable"
    assert stands.version is not None, "it is new"
    bundle = Bundle(manifest.action, stands.version, manifest.index)
    plan = staging.plan_of_new(zip(entries, forecast.from_state(tx, bundle, entries, state), strict=True))
    items = [ChunkItem(_new(entry), entry, member.readings[entry.ordinal]) for entry in entries]
    chunk, progress = prepare_chunk(bundle, items, state), Progress()
    if any(verdict != CREATED for verdict in chunk.verdicts):
        return None
    progress.note(Decision.CREATED, len(entries))
    return Decided(member, stands, stands.version, plan, chunk, progress)


def _new(entry: Entry) -> OpenItem:
    return OpenItem(0, entry.ordinal, 0, Decision.PENDING.value, "")


def _append_starts(tx: Tx, decided: Sequence[Decided]) -> None:
    ledger.append_rows(tx, [event for one in decided for event in _starts(one)])


def _starts(one: Decided) -> Iterator[Event]:
    manifest, batch_id = one.member.delivered.manifest, one.lease.batch_id
    assert manifest is not None, "it was found to be consumable"
    yield batch_id, "preflight_started", preflight.started_payload(manifest)
    yield batch_id, "preflight_finished", preflight.finished_payload(one.plan, manifest.index)
    yield batch_id, "import_started", start_payload(manifest, one.plan.item_count, 0)


def _write_library(tx: Tx, decided: Sequence[Decided]) -> None:
    """Writes the new assets, in order of hash, and all that belongs to them."""
    new = [(*row, *_stamp(one)) for one in decided for part in one.chunk.inserts for row in part.rows]
    new.sort(key=lambda row: row[1])
    ids = library.insert_assets(tx, rows_of(new))
    files = [(*row, *_stamp(one)) for one in decided for row in file_rows(one.chunk.added, ids)]
    library.add_rows(tx, "files", sorted(files, key=lambda row: row[:2]))
    documents = [document for one in decided for document in _documents(one, ids)]
    documents.sort(key=lambda row: row[:3])
    library.add_rows(tx, "sources", [(id_, *rest) for id_, kind, *rest in documents if kind == SOURCE])
    library.add_rows(tx, "ai_runs", [row for row in documents if row[1] != SOURCE])
    due.note_live(tx, ids)


def _documents(one: Decided, ids: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    for chunk_item in one.chunk.added:
        for document in chunk_item.reading.documents:
            of_asset = (ids[chunk_item.entry.asset_hash], document.kind, document.sha256)
            yield (*of_asset, Json(document.text), *_stamp(one))


def _stamp(one: Decided) -> tuple[Any, ...]:
    return one.version.completed_at, one.version.sync_id


def _write_items(tx: Tx, decided: Sequence[Decided]) -> None:
    """Writes the items, an event for each, and how many there are."""
    rows = [
        (*staging.new_row(entry, Decision.CREATED, CREATED), one.lease.batch_id)
        for one in decided
        for entry in one.member.entries
    ]
    item.stage_decided(tx, rows)
    ledger.append_items_of(tx, [one.lease.batch_id for one in decided])
    item.begin_tallies(tx, {one.lease.batch_id: one.progress.seen for one in decided})


def _end(tx: Tx, decided: Sequence[Decided]) -> None:
    """Ends the batches and their jobs. Raises LeaseLost."""
    job_groups.finish_batches(tx, [(one.lease.batch_id, one.stands.revision) for one in decided])
    ledger.append_rows(tx, [event for one in decided for event in completion.end_events(one.lease, one.progress)])
    job_groups.finish(tx, [Ended(one.lease, one.progress.seen, one.member.delivered.sha256 or "") for one in decided])
    for one in decided:
        if one.stands.has_successors:
            one.lease.has_promoted = ordering.promote_successors(tx, one.lease.batch_id)

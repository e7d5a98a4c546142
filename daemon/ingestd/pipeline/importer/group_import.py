"""Imports several small new bundles in one transaction: each of its statements is about all of them.

Only bundles of new assets take part. Those that turn out to be others are left out, before anything is written. Bundles
whose jobs wait for those of a group are imported after them, round by round, as far as `following` allows that.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
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
from ingestd.pipeline.importer import completion, following
from ingestd.pipeline.importer.completion import Progress
from ingestd.pipeline.importer.following import Followers
from ingestd.pipeline.importer.opening import start_payload
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, file_rows, prepare_chunk
from ingestd.pipeline.staging import Plan
from ingestd.store import due, item, job_groups, ledger, library, standing
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem
from ingestd.store.job_groups import Ended
from ingestd.store.standing import Standing
from ingestd.store.values import Json, rows_of
from ingestd.store.waiting_jobs import Waiting

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


@dataclass(frozen=True, slots=True)
class Round:
    """Bundles whose jobs end together, in the order of claims; `promoted`: their jobs, if those waited until now."""

    decided: Sequence[Decided]
    promoted: Sequence[Waiting] = ()


def run(tx: Tx, context: Context, members: Sequence[Member], followers: Followers) -> list[Decided]:
    """Imports those of some bundles that can be imported together; returns them. Raises LeaseLost.

    `members` are also those of `followers`.
    """
    waiting = {lease.batch_id for lease in followers.leases}
    made = _decide_all(tx, context, [member for member in members if member.is_plain], waiting)
    rounds = _rounds(tx, context, made, followers)
    decided = [one for round_ in rounds for one in round_.decided]
    if len(decided) < 2:
        return []
    if followed := [one for round_ in rounds for one in round_.promoted]:
        following.claim(tx, context, followed, followers.claimant)
    ids = _write_library(tx, decided)
    _write_items(tx, decided)
    _append_events(tx, rounds, followers, ids)
    _end(tx, decided)
    for one in _last(rounds):
        one.lease.has_promoted = ordering.promote_successors(tx, one.lease.batch_id)
    return decided


def _rounds(tx: Tx, context: Context, made: Sequence[Decided], followers: Followers) -> list[Round]:
    waiting = {lease.batch_id for lease in followers.leases}
    first = [one for one in made if one.lease.batch_id not in waiting]
    rest = {one.lease.batch_id: one for one in made if one.lease.batch_id in waiting}
    if not first or not rest:
        return [Round(first)]
    leases = {batch_id: one.lease for batch_id, one in rest.items()}
    batch_ids = [one.lease.batch_id for one in first]
    levels = following.rounds(tx, context, batch_ids, leases, followers.claimant)
    return [Round(first), *(Round([rest[one.job.batch_id] for one in level], level) for level in levels)]


def _last(rounds: Sequence[Round]) -> Iterable[Decided]:
    """Those whose jobs others wait for that do not follow: a round has all that wait for the one before."""
    return [one for one in rounds[-1].decided if one.stands.has_successors]


def _decide_all(tx: Tx, context: Context, members: Sequence[Member], waiting: Set[int]) -> list[Decided]:
    """What is decided of those that can be imported: of two that name the same assets, the first one.

    Batches whose jobs wait are left out if others hold them: the claimed jobs have nothing to do with that.
    """
    ids = {member.lease.batch_id for member in members}
    stands = standing.lock_all(tx, sorted(ids - waiting), sorted(ids & waiting))
    taken = set(library.named(tx, sorted(set().union(*(member.hashes for member in members)))))
    decided: list[Decided] = []
    for member in members:
        stands_now = stands.get(member.lease.batch_id)
        if stands_now is None or member.hashes & taken or not _is_new(context, member.delivered, stands_now):
            continue
        if (made := _decide(tx, member, stands_now)) is not None:
            decided.append(made)
            taken |= member.hashes
    return decided


def _is_new(context: Context, delivered: Delivery, stands: Standing) -> bool:
    """Whether only the batch is recorded of a bundle, with this manifest, and nothing keeps it from its import."""
    known, max_future = stands.known, context.settings.mount.max_future
    is_same = known.manifest_sha256 == delivered.sha256 and known.manifest_completed_at is not None
    if not is_same or stands.version is None or stands.has_rows:
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


def _append_events(tx: Tx, rounds: Sequence[Round], followers: Followers, ids: dict[str, int]) -> None:
    """Appends all that happens to the bundles, one after another; `ids`: those of the new assets."""
    ledger.append_rows(tx, [event for round_ in rounds for event in _events(round_, followers, ids)])


def _events(round_: Round, followers: Followers, ids: dict[str, int]) -> Iterator[Event]:
    yield from following.events(round_.promoted, followers.claimant)
    for one in round_.decided:
        yield from _starts(one)
        for entry in one.member.entries:
            yield one.lease.batch_id, "item_created", _item_payload(entry, ids[entry.asset_hash])
        yield from completion.end_events(one.lease, one.progress)


def _item_payload(entry: Entry, asset_id: int) -> dict[str, Any]:
    """As the events that are built from the rows of items."""
    of_entry = {"type": entry.asset_type, "hash": entry.asset_hash, "cover_hash": entry.cover_hash}
    return {"phase": "item_import", **of_entry, "error": None, "target_ids": {"asset_id": asset_id}}


def _starts(one: Decided) -> Iterator[Event]:
    manifest, batch_id = one.member.delivered.manifest, one.lease.batch_id
    assert manifest is not None, "it was found to be consumable"
    yield batch_id, "preflight_started", preflight.started_payload(manifest)
    yield batch_id, "preflight_finished", preflight.finished_payload(one.plan, manifest.index)
    yield batch_id, "import_started", start_payload(manifest, one.plan.item_count, 0)


def _write_library(tx: Tx, decided: Sequence[Decided]) -> dict[str, int]:
    """Writes the new assets, in order of hash, and all that belongs to them; returns their ids."""
    new = [(*row, *_stamp(one)) for one in decided for part in one.chunk.inserts for row in part.rows]
    new.sort(key=lambda row: row[1])
    ids = library.insert_assets(tx, rows_of(new))
    files = [(ids[hash_], *row, *_stamp(one)) for one in decided for hash_, *row in file_rows(one.chunk.added)]
    library.add_rows(tx, "files", rows_of(sorted(files, key=lambda row: row[:2])))
    documents = [document for one in decided for document in _documents(one, ids)]
    documents.sort(key=lambda row: row[:3])
    library.add_rows(tx, "sources", rows_of((id_, *rest) for id_, kind, *rest in documents if kind == SOURCE))
    library.add_rows(tx, "ai_runs", rows_of(row for row in documents if row[1] != SOURCE))
    due.note_live(tx, ids)
    return ids


def _documents(one: Decided, ids: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    for chunk_item in one.chunk.added:
        for document in chunk_item.reading.documents:
            of_asset = (ids[chunk_item.entry.asset_hash], document.kind, document.sha256)
            yield (*of_asset, Json(document.text), *_stamp(one))


def _stamp(one: Decided) -> tuple[Any, ...]:
    return one.version.completed_at, one.version.sync_id


def _write_items(tx: Tx, decided: Sequence[Decided]) -> None:
    """Writes the items, and how many there are."""
    rows = [
        (*staging.new_row(entry, Decision.CREATED, CREATED), one.lease.batch_id)
        for one in decided
        for entry in one.member.entries
    ]
    item.stage_decided(tx, rows)
    item.begin_tallies(tx, {one.lease.batch_id: one.progress.seen for one in decided})


def _end(tx: Tx, decided: Sequence[Decided]) -> None:
    """Ends the batches and their jobs. Raises LeaseLost."""
    orders = [(one.lease.batch_id, one.version.generation, one.stands.revision) for one in decided]
    job_groups.finish_batches(tx, orders)
    job_groups.finish(tx, [Ended(one.lease, one.progress.seen, one.member.delivered.sha256 or "") for one in decided])

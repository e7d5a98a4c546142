"""Writes a chunk of cover items: links or unlinks the covers of assets, which are locked."""

from ingestd.covers import NOTHING_KNOWN
from ingestd.library_records import Covers
from ingestd.model import Decision, Reason, Verdict
from ingestd.pipeline import evaluate
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import asset_covers, library
from ingestd.store.db import Tx


def write(tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> None:
    """Writes the covers of a confirmed chunk, also those of assets that are not there yet.

    Unlinked covers of live assets count as files that are taken out of sight.
    """
    unlinked = [item.entry for item, verdict in chunk.decided() if verdict.decision is Decision.REMOVED]
    removed.add(tx, Removals(files=sum(chunk.state.is_live(entry.parent_hash) for entry in unlinked)))
    heard = [item for item, verdict in chunk.decided() if _is_heard(item, verdict)]
    ids = _ids(tx, chunk, heard)
    changed: dict[int, tuple[Covers, Covers]] = {}
    for item in heard:
        id_ = ids[item.entry.parent_hash or ""]
        first = chunk.state.covers.get(id_, NOTHING_KNOWN)
        before, latest = changed.get(id_, (first, first))
        changed[id_] = (before, evaluate.covers_after(item.entry, bundle, latest))
    asset_covers.write(tx, changed)


def _is_heard(item: ChunkItem, verdict: Verdict) -> bool:
    """Whether an item says something: one that fails, cannot be read or is outranked does not."""
    is_kept = verdict.decision is not Decision.FAILED and verdict.reason is not Reason.OUTRANKED
    return is_kept and item.reading.problem is None


def _ids(tx: Tx, chunk: PreparedChunk, heard: list[ChunkItem]) -> dict[str, int]:
    """The ids of all parents; those that have no row get one."""
    known = {hash_: asset.id for hash_, asset in chunk.state.assets.items()}
    absent = {item.entry.parent_hash or "" for item in heard} - known.keys()
    if not absent:
        return known
    library.insert_named(tx, absent)
    return {**known, **{hash_: id_ for hash_, (id_, _) in library.named(tx, sorted(absent)).items()}}

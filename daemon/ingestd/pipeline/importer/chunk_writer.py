"""Writes one chunk set-wise, in the caller's transaction, after confirming under lock what it was prepared from.

Every writer takes locks in the same order: assets by hash, then what belongs to them.
"""

from collections.abc import Mapping, Sequence

from ingestd.format.entry import Entry
from ingestd.model import Decision, Reason, Verdict, Version
from ingestd.mount.records import SOURCE, Document
from ingestd.pipeline import evaluate
from ingestd.pipeline.evaluate import Bundle, LibraryState
from ingestd.pipeline.importer import chunk_rows, cover_writer, new_items
from ingestd.pipeline.importer.chunk_rows import ChunkRows
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, file_rows, prepare_chunk
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import asset_covers, due, item, known_assets, ledger, library
from ingestd.store.db import Tx
from ingestd.store.values import Json


def write(
    tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount, reload_all: bool = False
) -> Sequence[Verdict]:
    """Writes library rows, item decisions and ledger events of a chunk; returns the verdict of each item.

    `reload_all`: also assets that did not exist when the chunk was prepared are loaded again under lock. Raises
    RemovalRefused when the chunk would take more out of sight than allowed.
    """
    chunk = _confirm(tx, bundle, chunk, reload_all=reload_all)
    write_locked(tx, bundle, chunk, removed)
    return chunk.verdicts


def write_locked(tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> None:
    """As `write`, for a chunk that was prepared in this transaction, from locked rows."""
    ids = write_library(tx, bundle, chunk, removed)
    if chunk.items[0].row.is_new:
        rows = _rows(chunk, bundle, removed).items
        new_items.record(tx, removed.batch_id, chunk.verdicts, rows, ids)
        return
    _record(tx, chunk)
    item.shift_tally(tx, removed.batch_id, (chunk_item.row for chunk_item in chunk.items), chunk.verdicts)


def write_library(tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> Mapping[str, int]:
    """Writes only the library rows of such a chunk; returns the ids of its assets by hash, but for tombstones."""
    if chunk.is_of_covers:
        cover_writer.write(tx, bundle, chunk, removed)
        return {}
    return _write_assets(tx, bundle, chunk, removed)


def _confirm(tx: Tx, bundle: Bundle, chunk: PreparedChunk, *, reload_all: bool) -> PreparedChunk:
    """The chunk, if the locked rows equal those it was prepared from; else one prepared from the locked rows.

    An asset that did not exist has no row to lock. If another writer inserts it meanwhile, this transaction's INSERT
    fails and all of it runs again.
    """
    entries, known = [chunk_item.entry for chunk_item in chunk.items], chunk.state.assets
    is_all = reload_all or chunk.is_of_covers
    assets = None if is_all else known_assets.lock_known(tx, known, bundle.version)
    state = evaluate.load_state(tx, bundle, entries, lock=True, assets=assets)
    return chunk if state == chunk.state else prepare_chunk(bundle, chunk.items, state)


def fail(tx: Tx, batch_id: int, chunk_item: ChunkItem, verdict: Verdict) -> None:
    """Records that one item failed; writes nothing to the library."""
    if chunk_item.row.is_new:
        new_items.fail(tx, batch_id, chunk_item, verdict)
        return
    item.decide(tx, [(chunk_item.row.id, verdict)])
    item.shift_tally(tx, batch_id, [chunk_item.row], [verdict])
    ledger.append_items(tx, [chunk_item.row.id])


def _record(tx: Tx, chunk: PreparedChunk) -> None:
    """Writes the decisions to the item rows, those without an error set-wise, and appends an event for each."""
    alike: dict[tuple[Decision, Reason | None], list[int]] = {}
    single = []
    for chunk_item, verdict in chunk.decided():
        if verdict.error is None:
            alike.setdefault((verdict.decision, verdict.reason), []).append(chunk_item.row.id)
        else:
            single.append((chunk_item.row.id, verdict))
    for (decision, reason), ids in alike.items():
        item.decide_alike(tx, ids, decision, reason)
    item.decide(tx, single)
    ledger.append_items(tx, [chunk_item.row.id for chunk_item in chunk.items])


def _write_assets(tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> Mapping[str, int]:
    known = {hash_: asset.id for hash_, asset in chunk.state.assets.items()}
    updates, removals = chunk.by_hash(Decision.UPDATED), _ids(chunk.by_hash(Decision.REMOVED), known)
    dropped = evaluate.dropped_files(tx, ((known[u.entry.asset_hash], u.entry) for u in updates))
    live = {asset.id for asset in chunk.state.assets.values() if not asset.deleted} if dropped else ()
    removed.add(tx, Removals(assets=len(removals), files=sum(id_ in live for id_, _variant in dropped)))
    # INSERT never overwrites: if another writer inserted one of them meanwhile, this transaction runs again.
    ids = {**known, **library.insert_assets(tx, chunk.inserts)}
    library.insert_tombstones(tx, bundle.version, chunk.tombstones)
    library.update_assets(tx, bundle.version, chunk.updates)
    library.remove_files(tx, dropped)
    library.retire_documents(tx, _ids(updates, known))
    library.remove_assets(tx, bundle.version, removals)
    library.bury_assets(tx, bundle.version, chunk.burials)
    advancing = [known[chunk_item.entry.asset_hash] for chunk_item, verdict in chunk.decided() if verdict.advances]
    library.advance_assets(tx, bundle.version, sorted(advancing))
    _add_rows(tx, _rows(chunk, bundle, removed), ids)
    library.write_files(tx, bundle.version, ((ids[hash_], *row) for hash_, *row in file_rows(chunk.overwritten)))
    _write_documents(tx, bundle.version, chunk.overwritten, ids)
    covers = chunk.decided() if bundle.index.covers else ()
    named = [chunk_item.entry for chunk_item, verdict in covers if _names_cover(chunk_item, verdict, bundle)]
    _link_named_covers(tx, bundle, chunk.state, named, ids)
    due.note_live(tx, _made_live(chunk))
    return ids


def _rows(chunk: PreparedChunk, bundle: Bundle, removed: RemovalCount) -> ChunkRows:
    """What is sent of a chunk, made now if it was not ready."""
    return chunk.rows or chunk_rows.of(chunk, removed.batch_id, bundle.version)


def _add_rows(tx: Tx, rows: ChunkRows, ids: Mapping[str, int]) -> None:
    """Writes what belongs to the new assets."""
    library.add_rows(tx, "files", (part.at(ids) for part in rows.files))
    library.add_rows(tx, "sources", (part.at(ids) for part in rows.sources))
    library.add_rows(tx, "ai_runs", (part.at(ids) for part in rows.ai_runs))


def _made_live(chunk: PreparedChunk) -> list[str]:
    """The hashes of the assets that readers did not see before."""
    written = (chunk_item.entry.asset_hash for chunk_item in chunk.by_hash(Decision.CREATED, Decision.UPDATED))
    return [hash_ for hash_ in written if not chunk.state.is_live(hash_)]


def _ids(items: Sequence[ChunkItem], known: Mapping[str, int]) -> list[int]:
    return sorted(known[chunk_item.entry.asset_hash] for chunk_item in items)


def _names_cover(chunk_item: ChunkItem, verdict: Verdict, bundle: Bundle) -> bool:
    """Whether an entry says something about a cover. One that cannot be read, or that fails, says nothing."""
    if chunk_item.entry.cover_hash is None:
        return False
    is_heard = verdict.decision is not Decision.FAILED and chunk_item.reading.problem is None
    return is_heard and evaluate.names_cover(chunk_item.entry, bundle)


def _write_documents(tx: Tx, version: Version, items: Sequence[ChunkItem], ids: Mapping[str, int]) -> None:
    """Writes documents in order of asset, and reads the text of each only then: all may be too many for the memory.

    Those that were current before are retired already.
    """
    sources: list[tuple[int, Document]] = []
    ai_runs: list[tuple[int, Document]] = []
    for chunk_item in sorted(items, key=lambda chunk_item: ids[chunk_item.entry.asset_hash]):
        asset_id = ids[chunk_item.entry.asset_hash]
        for document in sorted(chunk_item.reading.documents, key=lambda d: (d.kind, d.sha256)):
            (sources if document.kind == SOURCE else ai_runs).append((asset_id, document))
    library.write_sources(tx, version, ((id_, d.sha256, Json(d.text)) for id_, d in sources))
    library.write_ai_runs(tx, version, ((id_, d.kind, d.sha256, Json(d.text)) for id_, d in ai_runs))


def _link_named_covers(
    tx: Tx, bundle: Bundle, state: LibraryState, entries: Sequence[Entry], ids: Mapping[str, int]
) -> None:
    """Links the covers that entries name, also those of older entries: no newer bundle may have named one."""
    changed = {}
    for entry in entries:
        before = state.covers_of(entry.asset_hash)
        changed[ids[entry.asset_hash]] = (before, evaluate.covers_after(entry, bundle, before))
    asset_covers.write(tx, changed)

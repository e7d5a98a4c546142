"""Writes a chunk of cover items: links or unlinks the covers of assets, which are locked."""

from typing import Any

from ingestd.model import Action, Decision, Reason, Verdict
from ingestd.pipeline import evaluate
from ingestd.pipeline.evaluate import Bundle
from ingestd.pipeline.importer.prepared_chunk import PreparedChunk
from ingestd.pipeline.removals import RemovalCount
from ingestd.removal_counts import Removals
from ingestd.store import library
from ingestd.store.db import Tx


def write(tx: Tx, bundle: Bundle, chunk: PreparedChunk, removed: RemovalCount) -> None:
    """Writes the covers of a confirmed chunk. If several items name one asset, the last one counts.

    Unlinked covers of live assets count as files that are taken out of sight.
    """
    unlinked = [item.entry for item, verdict in chunk.decided() if verdict.decision is Decision.REMOVED]
    removed.add(tx, Removals(files=sum(chunk.state.is_live(entry.parent_hash) for entry in unlinked)))
    rows: dict[int, tuple[Any, ...]] = {}
    advancing: list[int] = []
    for chunk_item, verdict in chunk.decided():
        parent = chunk.state.assets.get(chunk_item.entry.parent_hash or "")
        if parent is None:
            continue
        gone = verdict.decision is Decision.REMOVED or _is_tombstone(bundle, verdict)
        if gone or verdict.decision is Decision.LINKED:
            wanted = evaluate.wanted_cover(chunk_item.entry, parent.id, bundle.version)
            rows[parent.id] = (parent.id, wanted.cover_hash, wanted.path, wanted.bytes, wanted.sha256, int(gone))
        if verdict.advances:
            advancing.append(parent.id)
    library.write_covers(tx, bundle.version, [rows[id_] for id_ in sorted(rows)])
    library.advance_covers(tx, bundle.version, sorted(advancing))


def _is_tombstone(bundle: Bundle, verdict: Verdict) -> bool:
    return bundle.action is Action.REMOVE and verdict.reason is Reason.TOMBSTONED

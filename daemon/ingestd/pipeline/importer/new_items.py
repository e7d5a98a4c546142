"""Items of a large bundle of which nothing was recorded: their rows are written once, when they are decided."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from ingestd.format.manifest import Manifest
from ingestd.model import Verdict
from ingestd.pipeline import staging
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk
from ingestd.store import decided, item, ledger
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem


def select(manifest: Manifest, _tx: Tx, /, *, after: int, limit: int) -> list[OpenItem]:
    """The next items of a manifest, as rows that are still to be written."""
    repeated = manifest.index.repeated
    ordinals = (ordinal for ordinal in range(after + 1, manifest.item_count) if ordinal not in repeated)
    return list(map(OpenItem.new, islice(ordinals, limit)))


def record(tx: Tx, batch_id: int, chunk: PreparedChunk, ids: Mapping[str, int]) -> None:
    """Writes the items of a chunk that is in the library, with its decisions, and an event for each.

    `ids` are those of its assets, by hash.
    """
    _record(tx, batch_id, [_row(chunk_item, verdict, ids) for chunk_item, verdict in chunk.decided()], chunk.verdicts)


def fail(tx: Tx, batch_id: int, chunk_item: ChunkItem, verdict: Verdict) -> None:
    """Writes one item that failed."""
    _record(tx, batch_id, [_row(chunk_item, verdict, {})], [verdict])


def _record(tx: Tx, batch_id: int, rows: Sequence[tuple[Any, ...]], verdicts: Sequence[Verdict]) -> None:
    ledger.append_items(tx, decided.write(tx, batch_id, rows))
    item.shift_tally(tx, batch_id, (), verdicts)


def _row(chunk_item: ChunkItem, verdict: Verdict, ids: Mapping[str, int]) -> tuple[Any, ...]:
    """The row of an item; one with an error is about no asset."""
    entry = chunk_item.entry
    asset_id = ids.get(entry.asset_hash) if verdict.error is None else None
    return (*staging.new_row(entry, verdict.decision, verdict), asset_id)

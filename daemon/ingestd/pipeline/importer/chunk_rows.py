"""The rows of a prepared chunk that begin with the id of an asset: made before the new assets have ids.

To escape and join the values of many rows takes longer than to send them. So the thread that reads ahead does that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ingestd.model import Verdict, Version
from ingestd.mount.records import SOURCE, Document
from ingestd.pipeline import staging
from ingestd.pipeline.importer.prepared_chunk import ChunkItem, PreparedChunk, file_rows
from ingestd.store.values import AssetRows, Json, asset_rows_of

MAX_READY_BYTES = 4 * 2**20
"""of documents; more are sent one statement after another, and read only then: all may be too many for the memory"""


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of new assets, and of the items that have none yet, each as many together as one statement takes."""

    items: Iterable[AssetRows]
    files: Iterable[AssetRows]
    sources: Iterable[AssetRows]
    ai_runs: Iterable[AssetRows]


def ready(chunk: PreparedChunk, batch_id: int, version: Version) -> PreparedChunk:
    """The chunk with its rows ready to be sent, if there is memory for all of them."""
    if sum(chunk_item.size for chunk_item in chunk.added) > MAX_READY_BYTES:
        return chunk
    made = of(chunk, batch_id, version)
    rows = ChunkRows(list(made.items), list(made.files), list(made.sources), list(made.ai_runs))
    for part in chunk.inserts:
        part.encode()
    for of_assets in (rows.items, rows.files, rows.sources, rows.ai_runs):
        for rest in of_assets:
            rest.encode()
    return replace(chunk, rows=rows)


def of(chunk: PreparedChunk, batch_id: int, version: Version) -> ChunkRows:
    """The rows of a chunk, made when they are asked for."""
    new = chunk.decided() if chunk.items[0].row.is_new else ()
    stamp = (version.completed_at, version.sync_id)
    sources, ai_runs = _documents(chunk.added, of_source=True), _documents(chunk.added, of_source=False)
    return ChunkRows(
        asset_rows_of((item_row(chunk_item, verdict) for chunk_item, verdict in new), batch_id),
        asset_rows_of(file_rows(chunk.added), *stamp),
        asset_rows_of(((hash_, document.sha256, Json(document.text)) for hash_, document in sources), *stamp),
        asset_rows_of(((hash_, d.kind, d.sha256, Json(d.text)) for hash_, d in ai_runs), *stamp),
    )


def item_row(chunk_item: ChunkItem, verdict: Verdict) -> tuple[Any, ...]:
    """The row of an item, with the hash of its asset ahead; one with an error is about no asset."""
    entry = chunk_item.entry
    about = entry.asset_hash if verdict.error is None else None
    return (about, *staging.new_row(entry, verdict.decision, verdict))


def _documents(items: Iterable[ChunkItem], *, of_source: bool) -> Iterator[tuple[str, Document]]:
    """Provenance, or analyses, in order of asset and of kind."""
    for chunk_item in items:
        found = [document for document in chunk_item.reading.documents if (document.kind == SOURCE) is of_source]
        for document in sorted(found, key=lambda d: (d.kind, d.sha256)):
            yield chunk_item.entry.asset_hash, document

"""Items of a large bundle of which nothing was recorded: their rows are written once, when they are decided."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from ingestd.format.manifest import Manifest
from ingestd.model import Verdict
from ingestd.pipeline.importer.chunk_rows import item_row
from ingestd.pipeline.importer.prepared_chunk import ChunkItem
from ingestd.store import decided, item, ledger
from ingestd.store.db import Tx
from ingestd.store.item import OpenItem
from ingestd.store.values import AssetRows, asset_rows_of


def select(manifest: Manifest, _tx: Tx, /, *, after: int, limit: int) -> list[OpenItem]:
    """The next items of a manifest, as rows that are still to be written."""
    repeated = manifest.index.repeated
    ordinals = (ordinal for ordinal in range(after + 1, manifest.item_count) if ordinal not in repeated)
    return list(map(OpenItem.new, islice(ordinals, limit)))


def record(
    tx: Tx, batch_id: int, verdicts: Sequence[Verdict], rows: Iterable[AssetRows], ids: Mapping[str, int]
) -> None:
    """Writes the items of a chunk that is in the library, with its decisions, and an event for each.

    `ids` are those of its assets, by hash.
    """
    ledger.append_items(tx, decided.write(tx, batch_id, (part.at(ids) for part in rows)))
    item.shift_tally(tx, batch_id, (), verdicts)


def fail(tx: Tx, batch_id: int, chunk_item: ChunkItem, verdict: Verdict) -> None:
    """Writes one item that failed."""
    record(tx, batch_id, [verdict], asset_rows_of([item_row(chunk_item, verdict)], batch_id), {})

"""ingest_batch_item rows of items of which nothing was recorded before they were decided."""

from collections.abc import Iterable, Sequence
from typing import Any

from ingestd.store import bulk
from ingestd.store.db import Tx
from ingestd.store.sql import Queries
from ingestd.store.values import Ids, Rows

_sql = Queries("decided")


def write(tx: Tx, batch_id: int, parts: Iterable[Rows]) -> list[int]:
    """Items by ordinal, as `item.stage` takes them, but with the id of the asset ahead; returns their ids.

    Each row ends with the id of the batch.
    """
    ids: list[int] = []
    for part in parts:
        bulk.write(tx, part, insert=_sql.write, load=_sql.load)
        ids += _new_ids(tx, batch_id, part.rows)
    return ids


def _new_ids(tx: Tx, batch_id: int, rows: Sequence[tuple[Any, ...]]) -> Sequence[int]:
    """The ids of items that were just inserted in this order: they grow, so that the first and the last may say all.

    They do unless another session inserted at the same time.
    """
    first, last = _sql.new_ids(tx.connection, batch_id=batch_id, last=rows[-1][1])
    if last - first == len(rows) - 1:
        return range(first, last + 1)
    ordinals = [row[1] for row in rows]
    return [id_ for (id_,) in _sql.ids_at(tx.connection, batch_id=batch_id, ordinals=Ids(ordinals))]

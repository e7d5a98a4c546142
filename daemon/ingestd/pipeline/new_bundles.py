"""Records many new bundles in one transaction: those whose manifests were read while the ones before were recorded."""

from collections.abc import Sequence

import structlog

from ingestd.pipeline import delivery, discovery
from ingestd.pipeline.context import Context
from ingestd.pipeline.delivery import Delivery
from ingestd.pipeline.discovery import Columns
from ingestd.store import batch
from ingestd.store.attempts import never
from ingestd.store.db import Tx

log = structlog.get_logger()

MAX_TOGETHER = 50


def record(context: Context, new: Sequence[Delivery], *, queues: bool) -> dict[str, Columns]:
    """Records consumable bundles; returns the columns of those that were recorded, by sync_id.

    The others have a batch by now, or have to be tried one by one: something is wrong with one of them. `queues`:
    queue.auto applies to them at once.
    """
    try:
        columns = {delivered.sync_id: delivery.columns_of(delivered) for delivered in new}
        recorded = context.db.transaction(lambda tx: _record(tx, context, columns, queues=queues), keep_waiting=never)
    except Exception as error:  # noqa: BLE001  whatever it is, it may concern one of them alone
        log.debug("recorded_one_by_one", reason=str(error))
        return {}
    for sync_id, row in recorded.items():
        delivery.log_invalid(sync_id, row)
    return recorded


def _record(tx: Tx, context: Context, columns: dict[str, Columns], *, queues: bool) -> dict[str, Columns]:
    recorded, followed = batch.recorded_or_followed(tx, columns)
    new = {sync_id: row for sync_id, row in columns.items() if sync_id not in recorded}
    free = new.keys() - followed if queues else frozenset()
    return discovery.record(tx, context, new, free) if new else {}

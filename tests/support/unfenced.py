"""`ingestd` whose transactions do not end with the fence, to show that a test would notice."""

from ingestd.cli import main
from ingestd.model import Lease
from ingestd.store import job
from ingestd.store.db import Tx


def unfenced(tx: Tx, lease: Lease, items_done: int, items_total: int, current_item_id: int | None = None) -> None:
    """Writes the progress without looking whose job it is."""
    with tx.connection.cursor() as cursor:
        cursor.execute(
            "UPDATE import_job SET items_done = %s, items_total = %s, current_item_id = %s, writes = writes + 1"
            " WHERE id = %s",
            (items_done, items_total, current_item_id, lease.job_id),
        )


if __name__ == "__main__":
    job.fence = unfenced
    main()

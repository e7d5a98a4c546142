"""What a run learns of its batch in one statement is what holds once it has the lock of the row."""

import threading
from typing import Any

import pytest

from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import standing
from ingestd.store.standing import Standing
from support.locks import holding
from support.wait import until
from support.world import World, photo

CHANGES = {
    "revision": "INSERT INTO ingest_order (version_at, revision) SELECT version_at, 7 FROM ingest_batch WHERE id = {0}",
    "has_rows": "INSERT INTO ingest_batch_removal (batch_id, manifest_sha256) VALUES ({0}, '')",
    "has_successors": "UPDATE import_job SET state = 'waiting' WHERE batch_id = {1}",
    "imported": "UPDATE ingest_batch SET imported_generation = 3 WHERE id = {0}",
}


def waits_for_a_row(world: World) -> bool:
    ((_name, waits),) = world.sql("SHOW GLOBAL STATUS LIKE %s", "Innodb_row_lock_current_waits")
    return int(waits) > 0


@pytest.mark.parametrize("seen", CHANGES)
def test_what_changes_while_it_waits_for_the_row_is_seen(world: World, seen: str) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    follower = world.put(photo("b"), prior_sync_id=sync_id, day=2)
    world.scan(context)
    enqueue(context, QueueRequest(follower, "tester"))
    ids = [world.one("SELECT id FROM ingest_batch WHERE sync_id = %s", name) for name in (sync_id, follower)]
    before = context.db.transaction(lambda tx: standing.lock(tx, ids[0]))
    found: list[Standing] = []
    with holding(world, "SELECT id FROM ingest_batch WHERE id = %s FOR UPDATE", ids[0]) as holder:
        waiting = threading.Thread(
            target=lambda: found.append(context.db.transaction(lambda tx: standing.lock(tx, ids[0])))
        )
        waiting.start()
        until(lambda: waits_for_a_row(world))
        holder.execute(CHANGES[seen].format(*ids))
    waiting.join()
    expected: Any = {"revision": 7, "has_rows": True, "has_successors": True}.get(seen)
    assert getattr(found[0], seen) != getattr(before, seen)
    assert expected is None or getattr(found[0], seen) == expected

"""Time limits of the sessions, and heartbeats beside a locked row."""

import time
from typing import Any

import pytest

from ingestd.errors import DatabaseContention
from ingestd.pipeline.claims import claim
from ingestd.pipeline.heartbeat import Heartbeat
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import connection
from ingestd.store.db import Tx
from support.wait import until
from support.world import World, photo


def variable(tx: Tx, name: str) -> Any:
    with tx.connection.cursor() as cursor:
        cursor.execute(f"SELECT @@{name}")
        ((value,),) = cursor.fetchall()
        return value


@pytest.mark.parametrize(
    ("stale_after", "idle", "lock"),
    [(900.0, 60, 5), (100.0, 50, 5), (12.0, 6, 2), (6.0, 3, 1), (2.0, 1, 1), (0.5, 1, 1)],
)
def test_the_limits_of_a_session_follow_the_settings(world: World, stale_after: float, idle: int, lock: int) -> None:
    """A silent transaction ends before its job is stale, and so does a wait for a lock."""
    context = world.context(worker={"stale_after": stale_after})
    names = ("idle_transaction_timeout", "innodb_lock_wait_timeout", "lock_wait_timeout")
    assert [context.db.read(lambda tx, name=name: variable(tx, name)) for name in names] == [idle, lock, lock]  # type: ignore[misc]


def test_the_locks_of_a_frozen_worker_are_freed_before_its_job_is_stale(world: World) -> None:
    frozen, other = world.context(worker={"stale_after": 2.0}), world.context()
    sync_id = world.put(photo("a"))
    world.scan(other)
    made = frozen.db.connection()
    made.begin()
    made.cursor().execute("SELECT id FROM ingest_batch FOR UPDATE")
    started = time.monotonic()
    assert enqueue(other, QueueRequest(sync_id, "tester")).is_new
    assert time.monotonic() - started < 2.0


def test_a_locked_job_does_not_keep_others_from_their_heartbeats(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_SECONDS", 1)
    context, other = world.context(), world.context()
    sync_ids = [world.put(photo(name)) for name in "ab"]
    world.scan(other)
    for sync_id in sync_ids:
        enqueue(other, QueueRequest(sync_id, "tester"))
    leases = [claim(other, f"test/pid:1/{slot}", str(this_instance())) for slot in range(2)]
    first, second = (lease for lease in leases if lease is not None)
    world.sql("UPDATE import_job SET heartbeat_at = '2020-01-01' WHERE %s", 1)
    holder = other.db.connection()
    holder.begin()
    holder.cursor().execute(f"SELECT id FROM import_job WHERE id = {first.job_id} FOR UPDATE")
    with pytest.raises(DatabaseContention):
        Heartbeat(context, lambda: [first, second], list).run_once()
    holder.rollback()
    late = world.sql("SELECT id FROM import_job WHERE heartbeat_at < '2021-01-01' AND %s", 1)
    assert late == [(first.job_id,)]
    assert context.db.had_outage
    assert context.db.available_since is None
    Heartbeat(context, lambda: [first, second], list).run_once()
    until(lambda: context.db.available_since is not None)

"""A frozen daemon is replaced, and writes nothing when it wakes."""

import pymysql
import pytest

from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.imports import AUTO, BIG, CHUNKS, STOP_SECONDS, in_the_middle, lean, put_big, view_of, wait_for_end
from support.process import Daemons, Process
from support.uncovered import NOT_MEASURED
from support.wait import MIN_PAUSE, until
from support.world import World

LOCK_WAIT = 1205
WRITTEN = ("asset", "ingest_batch_item", "import_job")
"""what the transaction of a chunk writes, in this order"""


def is_locked(world: World, table: str) -> bool:
    """Whether an open transaction holds a row of a table."""
    try:
        world.sql(f"SELECT id FROM {table} WHERE %s FOR UPDATE NOWAIT", 1)
    except pymysql.OperationalError as error:
        if error.args[0] != LOCK_WAIT:
            raise
        return True
    return False


def is_asked_nothing(world: World) -> bool:
    """Whether the server has done everything that a daemon has sent."""
    return (
        world.sql(
            "SELECT 1 FROM information_schema.processlist WHERE user = 'ingestd' AND command <> 'Sleep' LIMIT %s", 1
        )
        == []
    )


def freeze_when(world: World, process: Process, *, in_transaction: bool) -> None:
    """Freezes a daemon while its importer has a transaction open that has written assets, or none at all."""

    def caught() -> bool:
        process.freeze()
        until(lambda: is_asked_nothing(world), what="for the server")
        locked = [table for table in WRITTEN if is_locked(world, table)]
        if "asset" in locked if in_transaction else not locked:
            return True
        process.thaw()
        return False

    until(caught, what="to catch it", max_pause=MIN_PAUSE)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_frozen_worker_is_replaced_and_writes_nothing_when_it_wakes(
    world: World, daemons: Daemons, in_transaction: bool
) -> None:
    daemons.environment = NOT_MEASURED
    sync_id, view = put_big(world), view_of(world)
    # Many transactions, so that one is caught long before the last.
    short = {**CHUNKS, "chunk_items": 5, "stale_after": 2.0, "heartbeat_interval": 0.3}
    frozen = daemons.start(worker=short)
    in_the_middle(view, frozen)
    freeze_when(world, frozen, in_transaction=in_transaction)
    assert [state for state, *_ in view.jobs()] == ["running"]
    if in_transaction:
        # The server does this by itself, by idle_transaction_timeout, after a minute.
        for (connection,) in view.sql("SELECT id FROM information_schema.processlist WHERE user = 'ingestd'"):
            view.sql(f"KILL {connection}")
    rescuer = daemons.start(worker={**short, "chunk_items": 500}, queue=AUTO)
    wait_for_end(view, rescuer, BIG)
    (reset,) = (payload for kind, payload in world.events(sync_id) if kind == "job_reset")
    assert f"/pid:{frozen.pid}/" in reset["prior_claimed_by"]
    assert f"/pid:{rescuer.pid}" in reset["reaped_by"]
    assert reset["threshold_seconds"] == 2
    assert rescuer.terminate(STOP_SECONDS) == 0
    library, ledger = world.library(), world.events(sync_id)
    frozen.thaw()
    frozen.wait_for("event=lease_lost")
    assert world.library() == library
    assert world.events(sync_id) == ledger
    assert view.events("job_finished") == 1
    # It has lost that job, and nothing else: it works on.
    later = world.put(*lean("later", 3), day=2)
    context = world.context()
    world.scan(context)
    enqueue(context, QueueRequest(later, "tester"))
    until(lambda: world.status(later) == "imported", what=lambda: f"for the thawed daemon; log: {frozen.log}")
    assert frozen.terminate(STOP_SECONDS) == 0
    view.demand_each_item_once(BIG + 3)

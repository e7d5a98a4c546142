"""What is noted for revivals: the transaction that makes an asset live finds who waits for it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.pipeline import cancelling, revivals
from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from ingestd.store import due, library
from ingestd.store.db import Tx
from support.plans import rows_touched
from support.world import World, cover, md5, photo

FEW = 100
NOTES = "SELECT COUNT(*) FROM ingest_due"


@pytest.fixture
def context(world: World) -> Context:
    return world.context(queue={"revive_interval": 0.000001})


@pytest.fixture
def no_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sweep finds what was not noted."""
    monkeypatch.setattr(due, "awaited", lambda *_arguments: [])


def gallery(name: str, *members: str) -> dict[str, Any]:
    return {"type": "gallery", "hash": md5(name), "items": [md5(member) for member in members]}


WAITING: dict[str, Callable[[World], str]] = {
    "item": lambda world: world.put(photo("own"), cover("c", "late"), day=1),
    "container": lambda world: world.put(photo("own"), containers=[gallery("g", "own", "late")], day=1),
}
LATE: dict[str, Callable[[World, Context], None]] = {
    "at once": lambda world, context: deliver(world, context, photo("late")),
    "in steps": lambda world, context: deliver(world, context, *(photo(f"n{n}") for n in range(600)), photo("late")),
}


def deliver(world: World, context: Context, *items: dict[str, Any], **more: Any) -> None:
    assert world.import_all(context, world.put(*items, **{"day": 2, **more})) == ["done"]


@pytest.mark.parametrize("make_live", LATE)
@pytest.mark.parametrize("wait", WAITING)
@pytest.mark.usefixtures("no_rounds")
def test_what_becomes_live_is_noted_for_those_who_wait_for_it(
    world: World, context: Context, wait: str, make_live: str
) -> None:
    sync_id = WAITING[wait](world)
    assert world.import_all(context, sync_id) == ["done"]
    assert (world.status(sync_id), Sweeper(context).revive()) == ("partial", 0)
    LATE[make_live](world, context)
    assert Sweeper(context).revive() == 1
    assert world.one(NOTES) == 0
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"
    assert Sweeper(context).revive() == 0


@pytest.mark.usefixtures("no_rounds")
def test_an_asset_that_returns_is_noted_again(world: World, context: Context) -> None:
    deliver(world, context, photo("late"), day=1)
    deliver(world, context, photo("late"), day=2, action="remove")
    sync_id = world.put(photo("own"), cover("c", "late"), containers=[gallery("g", "late")], day=3)
    assert world.import_all(context, sync_id) == ["done"]
    assert world.status(sync_id) == "partial"
    for day in (4, 6):
        deliver(world, context, photo("late"), day=day)
        deliver(world, context, photo("late"), day=day + 1, action="remove")
        assert Sweeper(context).revive() == world.one(NOTES) == 0, "it is gone again"
    deliver(world, context, photo("late"), day=8)
    assert Sweeper(context).revive() == 1
    assert world.run_next(context) == "done"
    assert world.status(sync_id) == "imported"


@pytest.mark.usefixtures("no_rounds")
def test_a_batch_with_a_job_is_looked_at_when_it_has_none(world: World, context: Context) -> None:
    sync_id = WAITING["item"](world)
    assert world.import_all(context, sync_id) == ["done"]
    enqueue(context, QueueRequest(sync_id, "tester", priority=200))
    world.scan(context)
    deliver(world, context, photo("late"))
    assert Sweeper(context).revive() == 0
    assert world.one(NOTES) == 1
    cancelling.cancel(context, sync_id, "tester")
    assert Sweeper(context).revive() == 1


@pytest.mark.usefixtures("no_rounds")
def test_an_asset_that_becomes_live_while_a_list_waits_for_it_is_seen(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is compared with what was there; then the asset is imported, and finds no list that waits yet."""
    deliver(world, context, photo("late"), day=1)
    deliver(world, context, photo("late"), day=2, action="remove")
    real, other = library.named, world.context()

    def named(*arguments: Any) -> Any:
        found = real(*arguments)
        if md5("late") in found and not found[md5("late")][1]:
            monkeypatch.setattr(library, "named", real)
            late = threading.Thread(target=deliver, args=(world, other, photo("late")), kwargs={"day": 4})
            late.start()
            late.join()
        return found

    monkeypatch.setattr(library, "named", named)
    sync_id = world.put(containers=[gallery("g", "late")], day=3)
    assert world.import_all(context, sync_id) == ["done"]
    assert library.named is real
    assert world.status(sync_id) == "imported"


def test_what_another_client_made_live_is_found_on_a_way_round(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revivals, "MAX_AWAITED", 3)
    names = [f"p{number}" for number in range(10)]
    deliver(world, context, *map(photo, names), day=1)
    deliver(world, context, *map(photo, names), day=2, action="remove")
    bundles = [world.put(cover(f"c{name}", name), day=3) for name in names]
    bundles += [world.put(containers=[gallery(f"g{name}", name)], day=3) for name in names]
    assert world.import_all(context, *bundles) == ["done"] * 20
    sweeper = Sweeper(context)
    assert [sweeper.revive() for _sweep in range(5)] == [0] * 5
    world.sql("UPDATE asset SET deleted_at = NULL")
    assert sum(sweeper.revive() for _sweep in range(5)) == 20


def test_a_sweep_reads_few_of_those_who_wait(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revivals, "MAX_AWAITED", 10)
    for wait in WAITING.values():
        assert world.import_all(context, wait(world)) == ["done"]
    fill(world)
    assert rows_touched(context.db, lambda _tx: Sweeper(context).revive()) < FEW
    deliver(world, context, photo("late"))
    assert rows_touched(context.db, lambda tx: due.due(tx, "revival", 1.0, revivals.MAX_LOOKS)) < FEW
    assert rows_touched(context.db, lambda tx: due.note_live(tx, [md5("late")])) < FEW
    assert Sweeper(context).revive() == 2


def test_hashes_are_sent_only_where_something_waits(world: World, context: Context) -> None:
    def last_statement(tx: Tx) -> str:
        due.note_live(tx, [md5("late")])
        return str(tx.connection.statement)

    assert md5("late") not in context.db.transaction(last_statement)
    for wait in WAITING.values():
        assert world.import_all(context, sync_id := wait(world)) == ["done"]
        assert md5("late") in context.db.transaction(last_statement)
        world.sql("DELETE FROM ingest_batch_missing")
        world.sql("UPDATE ingest_batch_item SET waiting_for = NULL")
        assert md5("late") not in context.db.transaction(last_statement), sync_id


def fill(world: World) -> None:
    """Many items and containers that wait, of batches of their own."""
    ((first, last),) = world.sql("SELECT MIN(id), MAX(id) FROM ingest_batch")
    world.sql(
        "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, parent_hash, entry_sha256, decision,"
        " waiting_for, updated_at) SELECT %s, 10 + seq, 'cover', MD5(seq), MD5(-seq), '', 'deferred', MD5(-seq),"
        " UTC_TIMESTAMP(6) FROM seq_1_to_3000",
        first,
    )
    world.sql(
        "INSERT INTO ingest_batch_container"
        " (id, batch_id, ordinal, type, hash, entry_sha256, decision, missing, updated_at)"
        " SELECT 1000 + seq, %s, 10 + seq, 'gallery', MD5(seq), '', 'deferred',"
        " (SELECT JSON_ARRAYAGG(MD5(-s.seq)) FROM seq_1_to_100 s), UTC_TIMESTAMP(6) FROM seq_1_to_30",
        last,
    )
    world.sql(
        "INSERT INTO ingest_batch_missing (container_id, hash, batch_id)"
        " SELECT 1000 + c.seq, MD5(-m.seq), %s FROM seq_1_to_30 c JOIN seq_1_to_100 m",
        last,
    )
    world.sql("INSERT INTO ingest_batch_tally VALUES (%s, 'deferred', '', 3000)", first)
    world.sql("ANALYZE TABLE ingest_batch_item, ingest_batch_container, ingest_batch_missing")


def test_lists_that_wait_no_more_are_not_found(world: World, context: Context) -> None:
    sync_id = WAITING["container"](world)
    assert world.import_all(context, sync_id) == ["done"]
    assert world.sql("SELECT hash FROM ingest_batch_missing") == [(md5("late"),)]
    deliver(world, context, photo("late"))
    assert Sweeper(context).revive() == 1
    assert world.run_next(context) == "done"
    assert world.one("SELECT COUNT(*) FROM ingest_batch_missing") == 0

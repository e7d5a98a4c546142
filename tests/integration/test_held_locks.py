"""Locks that somebody else holds for long: everything waits, nothing fails, and all goes on once they are free."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from ingestd.app import Daemon
from ingestd.errors import DatabaseContention
from ingestd.pipeline import queueing
from ingestd.pipeline.queueing import QueueRequest
from ingestd.store import connection, db
from support.scale import scaled
from support.wait import until
from support.world import World, photo

HOLD = scaled(2, 120)
"""seconds: longer than several waits for a lock, which last a second here"""
NUMBERS = range(60)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_SECONDS", 1)


@contextmanager
def held(world: World, *statements: str) -> Iterator[None]:
    """Locks of another client, held as long as the block runs."""
    owner = world.server.owner_settings()
    other = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name, ssl_disabled=True)
    try:
        with other.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield
    finally:
        other.close()


LOCKS = {
    "table": ("LOCK TABLES asset WRITE",),
    "everything": ("FLUSH TABLES WITH READ LOCK",),
    "job": ("LOCK TABLES import_job WRITE",),
    "rows": ("BEGIN", "SELECT id FROM asset FOR UPDATE"),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_an_import_waits_for_a_lock_however_long(world: World, lock: str) -> None:
    context = world.context()
    world.import_all(context, world.put(*(photo(f"{number}") for number in NUMBERS)))
    changed = [photo(f"{number}", title="new") for number in NUMBERS]
    sync_id = world.put(*changed, action="update", day=2)
    world.scan(context)
    queueing.enqueue(context, QueueRequest(sync_id, "tester"))
    settings = {"chunk_items": 20, "heartbeat_interval": 0.2, "stale_after": 9.0}
    daemon = Daemon(world.settings(worker=settings))
    released_at = 0.0
    try:
        with held(world, *LOCKS[lock]):
            daemon.start()
            time.sleep(HOLD)
        released_at = time.monotonic()
        until(lambda: world.status(sync_id) == "imported", seconds=10.0, what="for the end of the import")
    finally:
        daemon.stop()
    assert time.monotonic() - released_at < 10.0
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert [kinds.count(kind) for kind in ("job_claimed", "job_reset", "job_finished", "item_updated")] == [1, 0, 1, 60]
    assert set(world.decisions(sync_id).values()) == {"updated"}


@pytest.mark.parametrize("work", ["read", "transaction"])
def test_a_command_waits_for_a_while_and_then_says_who_is_in_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(db, "PATIENCE", 1.5)
    run: Callable[[Any], Any] = getattr(world.context().db, work)
    with held(world, "LOCK TABLES asset WRITE"), pytest.raises(DatabaseContention, match="Lock wait timeout") as raised:
        run(lambda tx: tx.connection.cursor().execute("SELECT id FROM asset"))
    assert raised.value.exit_status == 69

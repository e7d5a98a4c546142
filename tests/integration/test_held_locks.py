"""Locks that somebody else holds for long: everything waits, nothing fails, and all goes on once they are free."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pymysql
import pytest

from ingestd.app import Daemon
from ingestd.errors import DatabaseContention
from ingestd.pipeline import queueing
from ingestd.pipeline.queueing import QueueRequest
from ingestd.store import connection, db
from support.scale import IS_SOAK, scaled
from support.wait import until
from support.world import World, photo

RESUME_SECONDS = 5.0
NUMBERS = range(60)
WAITING = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = %s"


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for a lock that last a second, so that a lock held for two is one that outlasts them."""
    if not IS_SOAK:
        monkeypatch.setattr(connection, "LOCK_SECONDS", 1)


def client(world: World) -> Any:
    owner = world.server.owner_settings()
    return pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name, ssl_disabled=True)


@contextmanager
def held(world: World, *statements: str) -> Iterator[None]:
    """Locks of another client, held as long as the block runs."""
    with closing(client(world)) as other, other.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield


@contextmanager
def held_alter(world: World) -> Iterator[None]:
    """An ALTER TABLE that waits for a long read, while everything else waits for it."""
    with ThreadPoolExecutor(1) as pool, closing(client(world)) as altering:
        with held(world, "BEGIN", "SELECT COUNT(*) FROM asset"):
            altered = pool.submit(altering.cursor().execute, "ALTER TABLE asset FORCE")
            until(lambda: world.one(WAITING, "Waiting for table metadata lock"))
            yield
        altered.result(30)


@contextmanager
def read_only(world: World) -> Iterator[None]:
    world.sql("SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        world.sql("SET GLOBAL read_only = 0")


BACKUP = [f"BACKUP STAGE {stage}" for stage in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")]
LOCKS: dict[str, tuple[Callable[[World], AbstractContextManager[None]], int]] = {
    "rows": (lambda world: held(world, "BEGIN", "SELECT id FROM asset FOR UPDATE"), 15),
    "table": (lambda world: held(world, "LOCK TABLES asset WRITE"), 120),
    "everything": (lambda world: held(world, "FLUSH TABLES WITH READ LOCK"), 15),
    "read only": (read_only, 15),
    "job": (lambda world: held(world, "LOCK TABLES import_job WRITE"), 15),
    "backup": (lambda world: held(world, *BACKUP), 15),
    "alter": (held_alter, 15),
}
"""Locks, and for how many seconds `make soak` holds them."""


@pytest.mark.soak
@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("lock", list(LOCKS)[: scaled(4, 7)])
def test_an_import_waits_for_a_lock_however_long(world: World, lock: str) -> None:
    context = world.context()
    world.import_all(context, world.put(*(photo(f"{number}") for number in NUMBERS)))
    changed = [photo(f"{number}", title="new") for number in NUMBERS]
    sync_id = world.put(*changed, action="update", day=2)
    world.scan(context)
    queueing.enqueue(context, QueueRequest(sync_id, "tester"))
    settings = {"chunk_items": 20, "heartbeat_interval": 0.2, "stale_after": 9.0 if not IS_SOAK else 60.0}
    daemon = Daemon(world.settings(worker=settings))
    hold, seconds = LOCKS[lock]
    try:
        with hold(world):
            daemon.start()
            time.sleep(scaled(2, seconds))
            assert world.status(sync_id) != "imported"
            released_at = time.monotonic()
        until(lambda: world.status(sync_id) == "imported", seconds=30.0, what="for the end of the import")
        assert time.monotonic() - released_at < RESUME_SECONDS
    finally:
        daemon.stop()
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert [kinds.count(kind) for kind in ("job_claimed", "job_reset", "job_finished", "item_updated")] == [1, 0, 1, 60]
    assert set(world.decisions(sync_id).values()) == {"updated"}


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("work", ["read", "transaction"])
def test_a_command_waits_for_a_while_and_then_says_who_is_in_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(db, "PATIENCE", 1.5)
    run: Callable[[Any], Any] = getattr(world.context().db, work)
    with held(world, "LOCK TABLES asset WRITE"), pytest.raises(DatabaseContention, match="Lock wait timeout") as raised:
        run(lambda tx: tx.connection.cursor().execute("SELECT id FROM asset"))
    assert raised.value.exit_status == 69

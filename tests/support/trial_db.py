"""A database with one small table, for tests of connections and transactions."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ingestd.embedded import EmbeddedMariaDB
from ingestd.store.db import Database, Tx
from support.wait import until
from support.world import owner_sql

Rows = list[tuple[Any, ...]]


def run(tx: Tx, statement: str, *values: Any) -> Rows:
    with tx.connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def connection_id(tx: Tx) -> int:
    return int(run(tx, "SELECT CONNECTION_ID()")[0][0])


class Trial:
    """A database with one table `t` of two rows, (1, 0) and (2, 0), and its owner's view of it."""

    def __init__(self, server: EmbeddedMariaDB) -> None:
        self.server = server
        self.settings = server.owner_settings().model_copy(update={"name": "trial"})
        self.made: list[Database] = []

    def create(self) -> None:
        owner_sql(self.server.owner_settings(), "CREATE OR REPLACE DATABASE trial CHARACTER SET utf8mb4")
        self.sql("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, word VARCHAR(3), text LONGTEXT) ENGINE=InnoDB")
        self.sql("INSERT INTO t (id, n) VALUES (1, 0), (2, 0)")

    def sql(self, statement: str, *values: Any) -> Rows:
        return owner_sql(self.settings, statement, *values)

    def numbers(self) -> dict[int, int]:
        return dict(self.sql("SELECT id, n FROM t ORDER BY id"))

    def database(self, **settings: Any) -> Database:
        self.made.append(Database(self.settings.model_copy(update=settings)))
        return self.made[-1]

    def kill(self, id_: int) -> None:
        self.sql("KILL CONNECTION %s", id_)
        until(lambda: not self.sql("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", id_))

    def close(self) -> None:
        for database in self.made:
            database.close()


def add(tx: Tx, id_: int, amount: int = 1) -> None:
    run(tx, "UPDATE t SET n = n + %s WHERE id = %s", amount, id_)


@contextmanager
def in_thread(db: Database, work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Runs `work` in another thread; the list holds its result, or its error, when the block is left."""
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001  (whatever it is, the test looks at it)
            outcome.append(error)
        finally:
            db.close()

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(60.0)
        assert not thread.is_alive()

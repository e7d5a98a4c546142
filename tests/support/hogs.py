"""Other clients that hold all connections of a server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from ingestd.embedded import EmbeddedMariaDB, running
from support.private_db import prepare, unstarted_server
from support.wait import until
from support.world import World, empty

TOO_MANY = (1040, 1203, 1226)
"""no connection is left: of the server, of all sessions of a user, of an account"""
OWN = "SELECT id FROM information_schema.processlist WHERE user = 'ingestd'"


class SmallWorld(World):
    """A world whose server has few connections: its owner waits for the one that the server keeps for owners."""

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        def rows() -> list[list[tuple[Any, ...]]]:
            try:
                return [super(SmallWorld, self).sql(statement, *values)]
            except pymysql.MySQLError as error:
                if error.args[0] not in TOO_MANY:
                    raise
                return []

        return until(rows, what="for the connection of the owner")[0]


@contextmanager
def server_of(connections: int) -> Iterator[EmbeddedMariaDB]:
    """A migrated private server with so many connections."""
    with unstarted_server(f"--max-connections={connections}") as server, running(server):
        prepare(server)
        yield server


@contextmanager
def small_world_of(world: World, server: EmbeddedMariaDB) -> Iterator[SmallWorld]:
    """The mount of `world`, on a server with few connections; empty."""
    made = SmallWorld(server, world.root)
    empty(made)
    yield made
    made.close()


class Hogs:
    """Connections of other clients under the daemon's account."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: list[Any] = []

    def take(self) -> None:
        """Takes every connection that is free."""
        settings = self._world.server.settings()
        while True:
            try:
                made = pymysql.connect(unix_socket=settings.unix_socket, user=settings.user, ssl_disabled=True)
            except pymysql.MySQLError as error:
                if error.args[0] not in TOO_MANY:
                    raise
                return
            self._held.append(made)

    def take_all(self) -> None:
        """Takes every connection, also those that the daemon has: its account may have one only, which is taken.

        The server counts only connections made since there is a limit. An account without one is not counted.
        """
        self._limit(1)
        until(self._take_the_only_one, what="for the only connection")

    def _take_the_only_one(self) -> bool:
        self.take()
        mine = {connection.thread_id() for connection in self._held}
        for (id_,) in self._world.sql(OWN):
            if id_ not in mine:
                try_sql(self._world, f"KILL {id_}")
        return bool(mine)

    def _limit(self, connections: int) -> None:
        """How many connections the daemon's account may have; 0 for any number."""
        self._world.sql(f"GRANT USAGE ON *.* TO ingestd@localhost WITH MAX_USER_CONNECTIONS {connections}")

    def release(self) -> None:
        while self._held:
            self._held.pop().close()
        self._limit(0)


def try_sql(world: World, statement: str) -> None:
    """Runs a statement about a connection that may be gone."""
    try:
        world.sql(statement)
    except pymysql.MySQLError as error:
        if error.args[0] != 1094:
            raise


@contextmanager
def hogs_of(world: World) -> Iterator[Hogs]:
    made = Hogs(world)
    try:
        yield made
    finally:
        made.release()


@contextmanager
def full_server(world: World, *, also_own: bool = False, when: Callable[[], object] = lambda: None) -> Iterator[Hogs]:
    """Meanwhile no connection is left; with `also_own`, the daemon loses those that it has. Begins after `when`."""
    when()
    with hogs_of(world) as hogs:
        hogs.take_all() if also_own else hogs.take()
        yield hogs

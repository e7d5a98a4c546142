"""A world with its own database server, which tests may stop, kill or freeze."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from support.private_db import migrated_server
from support.world import World


@contextmanager
def disposable_world(world: World) -> Iterator[World]:
    """The mount of `world`, on another server."""
    with migrated_server() as server:
        yield World(server, world.root)


@contextmanager
def frozen(world: World) -> Iterator[None]:
    """Meanwhile the server accepts connections but does not respond."""
    pid = world.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)

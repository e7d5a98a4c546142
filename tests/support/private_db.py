"""Private MariaDB servers for tests: in memory where possible, without a disk flush for each commit.

A server ends with the process of its tests, however that ends; the next tests remove its folder.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestd.config import Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.store.migrate import migrate

MEMORY = Path("/dev/shm")
PREFIX = "ingestd-test"
UNFLUSHED = ("--innodb-flush-log-at-trx-commit=2",)
END_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""The kernel sends the signal when the thread ends that started the server, so tests start servers in the main one."""


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder in memory, or on disk where there is no such place; removed afterwards."""
    remove_orphans()
    prefix = f"{PREFIX}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def remove_orphans() -> None:
    """Removes folders in memory whose processes were killed."""
    for folder in MEMORY.glob(f"{PREFIX}-*-*"):
        pid = folder.name.split("-")[2]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def unstarted_server(*options: str) -> Iterator[EmbeddedMariaDB]:
    """A server that tests start themselves, any number of times; stopped afterwards."""
    with folder_in_memory() as folder:
        made = EmbeddedMariaDB(folder, options=(*UNFLUSHED, *options), launcher=END_WITH_US)
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def migrated_server() -> Iterator[EmbeddedMariaDB]:
    """A running server with the schema, whose daemon account has its limited rights."""
    with unstarted_server() as server, running(server):
        prepare(server)
        yield server


def prepare(server: EmbeddedMariaDB) -> None:
    """Creates the schema and the daemon account's rights on a running server."""
    migrate(Settings(database=server.owner_settings()))
    server.grant()

"""Shared by the benchmarks: a private durable MariaDB, and bundles of any size on a plain folder as the mount."""

import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from ingestd import logs
from ingestd.config import LogSettings, Settings
from ingestd.embedded import EmbeddedMariaDB, running
from ingestd.store.migrate import migrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.world import TABLES

SERVER = (
    "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G", "--innodb-flush-log-at-trx-commit=1",
    "--innodb-autoinc-lock-mode=2",
)  # fmt: skip
"""the same for all figures"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A running server, with a plain folder as the mount."""

    server: EmbeddedMariaDB
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "assets"

    def settings(self, **overrides: Any) -> Settings:
        mount = {"root": self.root, "require_mount": False, **overrides.pop("mount", {})}
        closed = {"metrics": {"listen": ""}, "http": {"listen": ""}}
        return Settings(database=self.server.settings(), **{"mount": mount, **closed, **overrides})

    def owner(self) -> "pymysql.connections.Connection[Any]":
        settings = self.server.owner_settings()
        return pymysql.connect(
            unix_socket=settings.unix_socket, user=settings.user, password=settings.password(),
            database=settings.name, autocommit=True, ssl_disabled=True,
        )  # fmt: skip

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements as the owner; returns the rows of the last."""
        connection = self.owner()
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def empty(self) -> None:
        """Empties the tables that bundles are written to, and takes the bundles away; items stay on the mount."""
        self.sql("SET foreign_key_checks = 0", *(f"TRUNCATE {table}" for table in TABLES))
        for name in os.listdir(self.root / "sync"):
            (self.root / "sync" / name).unlink()

    def clear(self) -> None:
        """The same, and takes the items away."""
        self.empty()
        shutil.rmtree(self.root)
        (self.root / "sync").mkdir(parents=True)


@contextmanager
def bench() -> Iterator[Bench]:
    """A migrated private server on disk, with production durability."""
    logs.configure(LogSettings(level="error"))
    folder = Path(tempfile.mkdtemp(prefix="ingestd-bench-"))
    (folder / "assets" / "sync").mkdir(parents=True)
    try:
        with running(EmbeddedMariaDB(folder / "db", options=SERVER)) as server:
            migrate(Settings(database=server.owner_settings()))
            server.grant()
            yield Bench(server, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lean_item(number: int, salt: str) -> dict[str, Any]:
    """A photo with one file."""
    text = f"{salt}/{number}".encode()
    hash_ = hashlib.sha256(text).hexdigest()[:32]
    files = [
        {"variant": "original", "path": "original.jpg", "bytes": 1048576, "sha256": hashlib.sha256(text).hexdigest()}
    ]
    return {"type": "photo", "hash": hash_, "path": f"photo/{hash_}", "title": f"Photo {number}", "files": files}


def put(bench: Bench, items: list[dict[str, Any]], containers: Sequence[dict[str, Any]] = (), **changed: Any) -> str:
    """Delivers a bundle, the sentinel last; returns its sync_id."""
    sync_id = write_manifest(bench, items, containers, **changed)
    announce(bench, sync_id)
    return sync_id


def write_manifest(
    bench: Bench, items: list[dict[str, Any]], containers: Sequence[dict[str, Any]] = (), **changed: Any
) -> str:
    """All of a bundle but its sentinel; `changed` are other fields of its manifest."""
    manifest = {
        "sync_id": str(uuid.uuid4()), "type": "event", "action": "create", "status": "completed",
        "created_at": "2026-04-12T21:35:35Z", "completed_at": "2026-04-12T21:35:35Z",
        "verification": {"passed": True}, "items": items, "containers": list(containers), **changed,
    }  # fmt: skip
    sync_id = str(manifest["sync_id"])
    (bench.root / "sync" / f"{sync_id}.json").write_text(json.dumps(manifest))
    return sync_id


def announce(bench: Bench, sync_id: str) -> None:
    (bench.root / "sync" / f"{sync_id}.ready").touch()


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of `work`."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(values: list[float]) -> float:
    return statistics.median(values)

"""The world of a test: a private database, a plain folder as the mount, and functions that deliver bundles."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from ingestd.config import DatabaseSettings, Settings
from ingestd.embedded import EmbeddedMariaDB
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context, make_context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.scanner import Scanner
from support.kept_helpers import keep_helpers
from support.wait import stop_event

DAY = "2026-04-{:02d}T12:00:00Z"
TABLES = (
    "ingest_event", "ingest_event_actor", "ingest_request", "ingest_stuck", "ingest_mount", "ingest_sighting",
    "ingest_order", "import_job",
    "ingest_batch_item", "ingest_batch_tally", "ingest_batch_removal", "ingest_batch_container", "ingest_batch_missing",
    "ingest_due", "ingest_batch",
    "asset_gallery_item", "asset_collection_item", "asset_gallery", "asset_collection", "asset_cover",
    "asset_other_cover", "asset_source", "asset_ai_run", "asset_file", "asset",
)  # fmt: skip


def md5(text: str) -> str:
    """A hash in the format of upstream, from any text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def new_sync_id() -> str:
    return str(uuid.uuid4())


@dataclass
class World:
    """Database and mount of one test; `context()` creates a new pipeline context."""

    server: EmbeddedMariaDB
    root: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)

    def settings(self, **overrides: dict[str, Any]) -> Settings:
        """Settings for this world; each keyword is a section with changed keys."""
        mount = {"root": self.root, "require_mount": False, **overrides.pop("mount", {})}
        closed = {"metrics": {"listen": ""}, "http": {"listen": ""}}
        sections: Any = {"mount": mount, **closed, **overrides}
        return Settings(database=self.server.settings(), **sections)

    def context(self, **overrides: dict[str, Any]) -> Context:
        return self.context_of(self.settings(**overrides))

    def context_of(self, settings: Settings) -> Context:
        """A context with these settings, closed at the end of the test."""
        context = make_context(settings)
        keep_helpers(context)
        self.contexts.append(context)
        return context

    def close(self) -> None:
        for context in self.contexts:
            context.mount.close()
            context.db.close()

    # the database, as its owner sees it

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement, run as the owner in autocommit."""
        return owner_sql(self.server.owner_settings(), statement, *values)

    def one(self, statement: str, *values: Any) -> Any:
        """The only value of the only row."""
        ((value,),) = self.sql(statement, *values)
        return value

    def events(self, sync_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The ledger of one batch, oldest first."""
        rows = self.sql(
            "SELECT e.event_type, e.payload FROM ingest_event e JOIN ingest_batch b ON b.id = e.batch_id"
            " WHERE b.sync_id = %s ORDER BY e.id",
            sync_id,
        )
        return [(kind, json.loads(payload)) for kind, payload in rows]

    def status(self, sync_id: str) -> str:
        return str(self.one("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id))

    def decisions(self, sync_id: str) -> dict[str, str]:
        """Decision (and reason) of each listed item by hash, in order."""
        rows = self.sql(
            "SELECT i.asset_hash, i.decision, i.reason FROM ingest_batch_item i"
            " JOIN ingest_batch b ON b.id = i.batch_id WHERE b.sync_id = %s AND i.in_manifest = 1 ORDER BY i.ordinal",
            sync_id,
        )
        return {hash_: f"{decision}:{reason}" if reason else decision for hash_, decision, reason in rows}

    def tallies(self, *, planned: bool = False) -> list[tuple[Any, ...]]:
        """The stored tally of each batch by decision and reason, for planned batches or all."""
        return self.sql(
            "SELECT t.batch_id, decision, reason, items FROM ingest_batch_tally t"
            " JOIN ingest_batch b ON b.id = t.batch_id"
            " WHERE items <> 0 AND (plan_sha256 IS NOT NULL OR %s) ORDER BY 1, 2, 3",
            not planned,
        )

    def counted(self, *, planned: bool = False) -> list[tuple[Any, ...]]:
        """The same tally, counted from the items."""
        return self.sql(
            "SELECT i.batch_id, decision, IFNULL(reason, ''), COUNT(*) FROM ingest_batch_item i"
            " JOIN ingest_batch b ON b.id = i.batch_id"
            " WHERE in_manifest = 1 AND (plan_sha256 IS NOT NULL OR %s) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            not planned,
        )

    def library(self) -> dict[str, list[tuple[Any, ...]]]:
        """All library rows, for comparison."""
        tables = ("asset", "asset_file", "asset_source", "asset_ai_run", "asset_cover", "asset_gallery",
                  "asset_gallery_item", "asset_collection", "asset_collection_item")  # fmt: skip
        return {table: self.sql(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}

    # bundles

    def put(
        self,
        *items: Any,
        sync_id: str | None = None,
        action: str = "create",
        day: int = 1,
        ready: bool = True,
        **envelope: Any,
    ) -> str:
        """Writes a bundle whose files exist as listed; returns its sync_id. `day` orders bundles in time."""
        sync_id = sync_id or new_sync_id()
        for item in items:
            for file in item.get("files", ()) if isinstance(item, dict) else ():
                self.file(f"{item['path']}/{file['path']}", b"x" * file.get("bytes", 1))
        manifest = manifest_of(sync_id, list(items), action=action, day=day, **envelope)
        self.file(f"sync/{sync_id}.json", json.dumps(manifest).encode())
        if ready:
            self.file(f"sync/{sync_id}.ready", b"")
        return sync_id

    def file(self, path: str, content: bytes) -> Path:
        """A file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    # the pipeline, step by step

    def scan(self, context: Context) -> list[str]:
        return Scanner(context).scan()

    def run_next(self, context: Context, slot: int = 0) -> str | None:
        """Claims and runs the next job in this thread; returns its outcome, or None without a job."""
        lease = claim(context, f"test/pid:1/{slot}", str(this_instance()))
        return None if lease is None else Run(context, lease, stop_event()).execute()

    def import_all(self, context: Context, *sync_ids: str) -> list[str | None]:
        """Scans, queues the given batches one after another, and runs each."""
        self.scan(context)
        outcomes = []
        for sync_id in sync_ids:
            enqueue(context, QueueRequest(sync_id, "tester"))
            outcomes.append(self.run_next(context))
        return outcomes


def manifest_of(
    sync_id: str, items: list[Any], *, action: str = "create", day: int = 1, **envelope: Any
) -> dict[str, Any]:
    """A consumable manifest; `envelope` overrides or adds fields."""
    return {
        "sync_id": sync_id,
        "type": "event",
        "action": action,
        "status": "completed",
        "source_host": "flux-1",
        "created_at": DAY.format(day),
        "completed_at": DAY.format(day),
        "verification": {"passed": True, "total_files": len(items)},
        "items": items,
        **envelope,
    }


def photo(name: str, *, title: str | None = None, files: int = 1, **more: Any) -> dict[str, Any]:
    """A photo item with the given number of files."""
    path = f"photo/{md5(name)}"
    listed = [{"variant": f"v{i}" if i else "original", "path": f"{i}.jpg", "bytes": 10 + i} for i in range(files)]
    return {"type": "photo", "hash": md5(name), "path": path, "title": title or name, "files": listed, **more}


def cover(name: str, parent: str, **more: Any) -> dict[str, Any]:
    """A cover item for the asset with that name."""
    return {"type": "cover", "hash": md5(name), "parent_hash": md5(parent), **more}


def owner_sql(settings: DatabaseSettings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement, on a connection of its own."""
    with owner_cursor(settings) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


@contextmanager
def owner_cursor(settings: DatabaseSettings) -> Iterator[Cursor]:
    """A connection of the owner, in autocommit."""
    connection = pymysql.connect(
        unix_socket=settings.unix_socket,
        user=settings.user,
        password=settings.password(),
        database=settings.name,
        autocommit=True,
        ssl_disabled=True,
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def sample(context: Context, name: str, **labels: str) -> float:
    """One metric value of this context, by its name without the prefix."""
    found = context.instruments.registry.get_sample_value(f"ingestd_{name}", labels)
    assert found is not None, f"there is no {name} {labels}"
    return found


def empty(world: World) -> None:
    """Empties every table. The ledger is truncated, because its trigger refuses DELETE."""
    with owner_cursor(world.server.owner_settings()) as cursor:
        for table in TABLES:
            cursor.execute(f"TRUNCATE {table}" if table == "ingest_event" else f"DELETE FROM {table}")
        cursor.execute("UPDATE ingest_control SET paused = 0, paused_by = NULL, paused_reason = NULL, paused_at = NULL")

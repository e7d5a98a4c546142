"""Shared by benchmarks of imports: all queued jobs in this process, and LOAD DATA of exactly the rows they wrote."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Bench, timed

from ingestd.pipeline.context import Context, make_context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import claim

LOADED = ("ingest_batch", "ingest_batch_item", "import_job", "ingest_event", "asset", "asset_file")
"""The tables that a lean bundle is written to, parents first."""
TRIGGER = "ingest_event_is_authentic"


def import_all(world: Bench, **settings: Any) -> float:
    """Records and queues what lies on the mount; returns the seconds from the first claim to the last end."""
    context = make_context(world.settings(queue={"auto": ["create", "update"]}, **settings))
    try:
        Scanner(context).scan()
        queued = Sweeper(context).queue_new()
        assert queued, "nothing was queued"
        return timed(lambda: _run(context, queued))
    finally:
        context.mount.close()
        context.db.close()
        for old in (world.root / "sync").iterdir():
            old.unlink()


def _run(context: Context, jobs: int) -> None:
    for _ in range(jobs):
        lease = claim(context, "bench/pid:1/0", str(this_instance()))
        assert lease is not None
        assert Run(context, lease, threading.Event()).execute() == "done"


def load_data(world: Bench, tables: Sequence[str]) -> float:
    """Seconds to load exactly the same final rows into the same, emptied tables, given parents first."""
    files = {table: world.server.folder / "files" / f"{table}.tsv" for table in tables}
    columns = {table: _columns_of(world, table) for table in tables}
    for table, file in files.items():
        file.unlink(missing_ok=True)
        key = ", ".join(row[4] for row in world.sql(f"SHOW KEYS FROM {table} WHERE Key_name = 'PRIMARY'"))
        names = ", ".join(columns[table])
        world.sql(f"SELECT {names} INTO OUTFILE '{file}' CHARACTER SET binary FROM {table} ORDER BY {key}")
    before = _checksums(world, tables)
    world.empty()
    with _without_ledger_trigger(world):
        seconds = timed(lambda: _load_files(world, files, columns))
    assert _checksums(world, tables) == before, "the loaded rows are not the same"
    return seconds


@contextmanager
def _without_ledger_trigger(world: Bench) -> Iterator[None]:
    """As in a restore, where triggers come after the rows: this one would set the time of the events again."""
    ((_, _, statement, *_),) = world.sql(f"SHOW CREATE TRIGGER {TRIGGER}")
    world.sql(f"DROP TRIGGER {TRIGGER}")
    yield
    world.sql(statement)


def _columns_of(world: Bench, table: str) -> list[str]:
    rows = world.sql(f"SHOW COLUMNS FROM {table}")
    return [name for name, *_, extra in rows if "GENERATED" not in extra]


def _checksums(world: Bench, tables: Sequence[str]) -> list[tuple[Any, ...]]:
    return world.sql(f"CHECKSUM TABLE {', '.join(tables)}")


def _load_files(world: Bench, files: dict[str, Path], columns: dict[str, list[str]]) -> None:
    """One transaction for all tables, as a restore would do it."""
    connection = world.owner()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        for table, file in files.items():
            names = ", ".join(columns[table])
            cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE {table} CHARACTER SET binary ({names})")
        cursor.execute("COMMIT")
    connection.close()

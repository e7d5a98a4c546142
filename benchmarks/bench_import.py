"""Import of a 100,000-item bundle by one worker, from pre-flight to done with the full ledger.

Measured in the same run for comparison: LOAD DATA of exactly the same final rows into the same tables, and a loop with
one transaction per item.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import LOADED, Bench, bench, lean_item, median, put, report, timed

from ingestd.pipeline.context import make_context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer.run import Run
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import claim

ITEMS = int(os.environ.get("ITEMS", "100000"))
LOOPED = max(100, ITEMS // 50)
ROUNDS = int(os.environ.get("ROUNDS", "5"))
TRIGGER = "ingest_event_is_authentic"
VERIFY = os.environ.get("VERIFY", "none")


def main() -> None:
    print(f"{ITEMS} lean items (one item, asset, file and event each), mount.verify = {VERIFY}", flush=True)
    against_load, against_loop = [], []
    with bench() as world:
        items = [lean_item(number, "import") for number in range(ITEMS)]
        if VERIFY != "none":
            make_files(world, items)
        for _ in range(ROUNDS):
            ours, load, loop = one_round(world, items)
            against_load.append(load / ours)
            against_loop.append((loop / LOOPED) / (ours / ITEMS))
            rates = f"{ITEMS / ours:,.0f} items/s; LOAD DATA {ITEMS / load:,.0f}/s; loop {LOOPED / loop:,.0f}/s"
            print(f"  ingestd {rates}", flush=True)
    report("speed relative to LOAD DATA", against_load, "at least 0.25", median(against_load) >= 0.25)
    report("speed relative to one transaction per item", against_loop, "at least 4", median(against_loop) >= 4)
    sys.exit(0 if median(against_load) >= 0.25 and median(against_loop) >= 4 else 1)


def make_files(world: Bench, items: list[dict[str, Any]]) -> None:
    for item in items:
        folder = world.root / item["path"]
        folder.mkdir(parents=True)
        with (folder / "original.jpg").open("wb") as file:
            file.truncate(1048576)


def one_round(world: Bench, items: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Seconds of the import, of LOAD DATA of its rows, and of the loop over the first LOOPED items."""
    world.empty()
    ours = import_with_ingestd(world, items)
    load = load_data(world)
    world.empty()
    loop = timed(lambda: loop_over(world, items[:LOOPED]))
    return ours, load, loop


def import_with_ingestd(world: Bench, items: list[dict[str, Any]]) -> float:
    """Seconds from claim to done."""
    for old in (world.root / "sync").iterdir():
        old.unlink()
    put(world, items)
    context = make_context(world.settings(mount={"verify": VERIFY}, queue={"auto": ["create"]}))
    try:
        Scanner(context).scan()
        assert Sweeper(context).queue_new() == 1
        seconds = timed(lambda: run_one(context))
    finally:
        context.mount.close()
        context.db.close()
    assert world.sql("SELECT status, item_count FROM ingest_batch") == [("imported", len(items))]
    return seconds


def run_one(context: Any) -> None:
    lease = claim(context, "bench/pid:1/0", str(this_instance()))
    assert lease is not None
    assert Run(context, lease, threading.Event()).execute() == "done"


def load_data(world: Bench) -> float:
    """Seconds to load exactly the same final rows into the same, emptied tables."""
    files = {table: world.server.folder / "files" / f"{table}.tsv" for table in LOADED}
    columns = {table: columns_of(world, table) for table in LOADED}
    for table, file in files.items():
        file.unlink(missing_ok=True)
        key = "asset_id" if table == "asset_file" else "id"
        names = ", ".join(columns[table])
        world.sql(f"SELECT {names} INTO OUTFILE '{file}' CHARACTER SET binary FROM {table} ORDER BY {key}")
    before = checksums(world)
    world.empty()
    with without_ledger_trigger(world):
        seconds = timed(lambda: load_files(world, files, columns))
    assert checksums(world) == before, "the loaded rows are not the same"
    return seconds


@contextmanager
def without_ledger_trigger(world: Bench) -> Iterator[None]:
    """As in a restore, where triggers come after the rows: this one would set the time of the events again."""
    ((_, _, statement, *_),) = world.sql(f"SHOW CREATE TRIGGER {TRIGGER}")
    world.sql(f"DROP TRIGGER {TRIGGER}")
    yield
    world.sql(statement)


def columns_of(world: Bench, table: str) -> list[str]:
    rows = world.sql(f"SHOW COLUMNS FROM {table}")
    return [name for name, *_, extra in rows if "GENERATED" not in extra]


def checksums(world: Bench) -> list[tuple[Any, ...]]:
    return world.sql(f"CHECKSUM TABLE {', '.join(LOADED)}")


def load_files(world: Bench, files: dict[str, Path], columns: dict[str, list[str]]) -> None:
    """One transaction for all tables, as a restore would do it."""
    connection = world.owner()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        for table, file in files.items():
            names = ", ".join(columns[table])
            cursor.execute(f"LOAD DATA INFILE '{file}' INTO TABLE {table} CHARACTER SET binary ({names})")
        cursor.execute("COMMIT")
    connection.close()


def loop_over(world: Bench, items: list[dict[str, Any]]) -> None:
    """The simple approach: one transaction per item, one statement per row."""
    connection = world.owner()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_batch (sync_id, status, discovered_at) VALUES (UUID(), 'new', UTC_TIMESTAMP(6))"
        )
        cursor.execute("SELECT LAST_INSERT_ID()")
        batch_id = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO import_job (batch_id, state, queued_at) VALUES (%s, 'running', UTC_TIMESTAMP(6))", (batch_id,)
        )
        for ordinal, item in enumerate(items):
            import_item(cursor, batch_id, ordinal, item)
    connection.close()


def import_item(cursor: Any, batch_id: int, ordinal: int, item: dict[str, Any]) -> None:
    file, hash_ = item["files"][0], item["hash"]
    cursor.execute("BEGIN")
    cursor.execute(
        "INSERT INTO ingest_batch_item (batch_id, ordinal, asset_type, asset_hash, entry_sha256, decision, updated_at)"
        " VALUES (%s, %s, 'photo', %s, %s, 'will_create', UTC_TIMESTAMP(6))",
        (batch_id, ordinal, hash_, file["sha256"]),
    )
    item_id = cursor.lastrowid
    cursor.execute("SELECT id FROM asset WHERE hash = %s FOR UPDATE", (hash_,))
    cursor.execute("INSERT INTO asset (asset_type, hash, title, path, entry_sha256) VALUES ('photo', %s, %s, %s, %s)",
                   (hash_, item["title"], item["path"], file["sha256"]))  # fmt: skip
    asset_id = cursor.lastrowid
    cursor.execute("INSERT INTO asset_file (asset_id, variant, path, bytes, sha256)"
                   " VALUES (%s, 'original', %s, %s, %s)",
                   (asset_id, f"{item['path']}/{file['path']}", file["bytes"], file["sha256"]))  # fmt: skip
    cursor.execute("UPDATE ingest_batch_item SET decision = 'created', asset_id = %s"
                   " WHERE id = %s", (asset_id, item_id))  # fmt: skip
    cursor.execute("INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (%s, 'item_created',"
                   " JSON_OBJECT('hash', %s, 'type', 'photo', 'target_ids', JSON_OBJECT('asset_id', %s)))",
                   (batch_id, hash_, asset_id))  # fmt: skip
    cursor.execute("UPDATE import_job SET items_done = items_done + 1 WHERE batch_id = %s", (batch_id,))
    cursor.execute("COMMIT")


if __name__ == "__main__":
    main()

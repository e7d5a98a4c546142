"""Import of a 100,000-item bundle by one worker, from pre-flight to done with the full ledger.

Measured in the same run for comparison: LOAD DATA of exactly the same final rows into the same tables, and a loop with
one transaction per item.
"""

import os
import sys
from typing import Any

from common import Bench, bench, lean_item, median, put, report, timed
from importing import LOADED, import_all, load_data

ITEMS = int(os.environ.get("ITEMS", "100000"))
LOOPED = max(100, ITEMS // 50)
ROUNDS = int(os.environ.get("ROUNDS", "5"))
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
    load = load_data(world, LOADED)
    world.empty()
    loop = timed(lambda: loop_over(world, items[:LOOPED]))
    return ours, load, loop


def import_with_ingestd(world: Bench, items: list[dict[str, Any]]) -> float:
    """Seconds from claim to done."""
    put(world, items)
    seconds = import_all(world, mount={"verify": VERIFY})
    assert world.sql("SELECT status, item_count FROM ingest_batch") == [("imported", len(items))]
    return seconds


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

"""The content of all tables in a form that two runs over the same bundles share: without ids, times and workers."""

import json
from collections import Counter
from typing import Any

from support.world import TABLES, World

Snapshot = dict[str, Counter[tuple[Any, ...]]]

NAMES = {
    "batch_id": "(SELECT sync_id FROM ingest_batch k WHERE k.id = t.batch_id)",
    "asset_id": "(SELECT hash FROM asset k WHERE k.id = t.asset_id)",
    "gallery_id": "(SELECT hash FROM asset_gallery k WHERE k.id = t.gallery_id)",
    "collection_id": "(SELECT hash FROM asset_collection k WHERE k.id = t.collection_id)",
    "active_batch_id": "t.active_batch_id IS NULL",
}
"""what stands for a row in other rows"""
APART = {"ingest_event", "ingest_request", "ingest_mount", "ingest_control"}
"""the ledger, which is compared by itself; what was asked for, and what is mounted, are not about bundles"""
INCIDENTAL = {
    "id", "target_ids", "requested_by", "claimed_by", "claimed_instance", "claim_token", "writes", "items_at_claim",
    "current_item_id", "isolate_items", "reset_count", "release_count", "crash_count",
}  # fmt: skip
"""columns about how the work was done"""
MOMENTS = {
    "created_at", "updated_at", "deleted_at", "discovered_at", "started_at", "completed_at", "revived_at", "retry_at",
    "queued_at", "claimed_at", "heartbeat_at", "finished_at",
}  # fmt: skip
"""times of the work; other times come from the bundles"""
REPEATED = {
    "job_claimed", "job_reset", "job_released", "job_promoted", "import_started",
    "preflight_started", "preflight_finished",
}  # fmt: skip
"""events that an interruption repeats; removals are planned in each run"""
RETRIED = ("item_failed", "item_deferred", "container_failed", "container_deferred")
"""events about what each further run of a batch tries again; counted once"""
ENDS = {"import_finished", "job_finished"}
"""events that sum up one run, of which there may have been several"""
INCIDENTAL_KEYS = {"job_id", "worker_id", "target_ids", "requested_by"}


def snapshot(world: World) -> Snapshot:
    """Each table as a multiset of rows."""
    taken = {table: Counter(_rows(world, table)) for table in TABLES if table not in APART}
    events = Counter(_events(world))
    once = {event: 1 if event[1] in RETRIED else count for event, count in events.items()}
    return {**taken, "ingest_event": Counter(once)}


def differences(one: Snapshot, other: Snapshot) -> list[str]:
    """What stands in only one of two snapshots."""
    return [
        f"{table}: {count} x {row} {where}"
        for table in one
        for where, rows in (("only here", one[table] - other[table]), ("only there", other[table] - one[table]))
        for row, count in rows.items()
    ]


def _rows(world: World, table: str) -> list[tuple[Any, ...]]:
    columns = world.sql(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position",
        table,
    )
    wanted = [_expression(name) for (name,) in columns if name not in INCIDENTAL]
    return world.sql(f"SELECT {', '.join(wanted)} FROM {table} t")


def _expression(name: str) -> str:
    return NAMES.get(name, f"t.{name} IS NULL" if name in MOMENTS else f"t.{name}")


def _events(world: World) -> list[tuple[Any, ...]]:
    rows = world.sql(
        "SELECT b.sync_id, e.event_type, e.payload FROM ingest_event e LEFT JOIN ingest_batch b ON b.id = e.batch_id"
    )
    return [
        (sync_id, kind, "" if kind in ENDS else _essence(json.loads(payload)))
        for sync_id, kind, payload in rows
        if kind not in REPEATED
    ]


def _essence(payload: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in payload.items() if key not in INCIDENTAL_KEYS}, sort_keys=True)

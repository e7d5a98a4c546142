"""Every table and the ledger in a form that two runs over the same bundles share.

What must differ is replaced, not left out: ids by the hashes and sync_ids that they stand for, times and names of
workers by whether there is one. What an interruption may repeat is checked by itself, in `support.histories`.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from support.histories import Event, Job, histories_of
from support.world import World

Rows = Counter[tuple[Any, ...]]

OWN_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND %s"
MIGRATIONS = ("_yoyo", "yoyo")
"""tables of the tool that migrates begin so"""
LEDGER = "ingest_event"

REFERENCES = {
    "batch_id": "(SELECT sync_id FROM ingest_batch k WHERE k.id = t.batch_id)",
    "asset_id": "(SELECT hash FROM asset k WHERE k.id = t.asset_id)",
    "gallery_id": "(SELECT hash FROM asset_gallery k WHERE k.id = t.gallery_id)",
    "collection_id": "(SELECT hash FROM asset_collection k WHERE k.id = t.collection_id)",
    "active_batch_id": "(SELECT sync_id FROM ingest_batch k WHERE k.id = t.active_batch_id)",
}
"""what a row is known by in other rows"""
PRESENCE = {
    "created_at", "updated_at", "deleted_at", "discovered_at", "started_at", "completed_at", "revived_at", "retry_at",
    "queued_at", "requested_at", "claimed_at", "heartbeat_at", "finished_at", "since", "refused_at", "paused_at",
    "claimed_by", "claimed_instance",
}  # fmt: skip
"""times of the work, and who did it: compared is whether there is one. Other times come from the bundles"""
EFFORT = {
    "claim_token", "writes", "items_at_claim", "isolate_items", "reset_count", "release_count", "crash_count",
    "heartbeat_us", "stale_us", "is_placed",
}  # fmt: skip
"""counts of attempts, which interruptions raise, settings of the host that claimed it last, and whether a sweep has
looked at it; `support.histories` compares the counts with the ledger"""
NUMBERED = {"asset_id": "asset", "gallery_id": "asset_gallery", "collection_id": "asset_collection"}


@dataclass
class Snapshot:
    """Rows of all tables as multisets, and what is wrong by itself, without a comparison."""

    tables: dict[str, Rows]
    faults: list[str]

    @property
    def size(self) -> dict[str, int]:
        """How many rows of each table there are to compare."""
        return {table: rows.total() for table, rows in self.tables.items()}


def snapshot(world: World) -> Snapshot:
    names = [name for (name,) in world.sql(OWN_TABLES, 1) if not name.startswith(MIGRATIONS)]
    tables = {name: Counter(_rows(world, name)) for name in names if name != LEDGER}
    histories = histories_of(_events(world), _jobs(world))
    tables[LEDGER] = Counter(line for history in histories for line in history.story())
    return Snapshot(tables, [fault for history in histories for fault in history.faults()] + _attempts(world))


def differences(one: Snapshot, other: Snapshot) -> list[str]:
    """What is wrong in one of two snapshots, and what stands in only one of them."""
    assert one.tables.keys() == other.tables.keys()
    return [*one.faults, *(f"uninterrupted: {fault}" for fault in other.faults)] + [
        f"{table}: {count} x {row} {where}"
        for table in one.tables
        for where, rows in (
            ("only here", one.tables[table] - other.tables[table]),
            ("only there", other.tables[table] - one.tables[table]),
        )
        for row, count in rows.items()
    ]


# rows


def _rows(world: World, table: str) -> list[tuple[Any, ...]]:
    columns = world.sql(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position",
        table,
    )
    names = [name for (name,) in columns if name not in EFFORT and (name != "id" or table == "ingest_control")]
    rows = world.sql(f"SELECT {', '.join(map(_expression, names))} FROM {table} t")
    return [tuple(_neutral(world, table, name, value) for name, value in zip(names, row, strict=True)) for row in rows]


def _expression(name: str) -> str:
    return REFERENCES.get(name, f"t.{name} IS NULL" if name in PRESENCE else f"t.{name}")


def _neutral(world: World, table: str, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "target_ids":
        return _text(_named(_hashes(world), json.loads(value)))
    if (table, name) == ("ingest_request", "result"):
        return _text(_scan_result(world, json.loads(value)))
    return value


def _scan_result(world: World, result: dict[str, Any]) -> dict[str, Any]:
    """A plan as it is. What a scan finds depends on which scan is first: it names batches, and nothing else."""
    if "unrecorded" not in result:
        return result
    known = {sync_id for (sync_id,) in world.sql("SELECT sync_id FROM ingest_batch WHERE %s", 1)}
    found = {"sync_ids": sorted(set(result["sync_ids"]) - known), "unrecorded": isinstance(result["unrecorded"], int)}
    waiting = {name: type(result[name]).__name__ for name in ("unrecorded_ids", "unrecorded_reasons")}
    return {**result, **found, **waiting}


def _attempts(world: World) -> list[str]:
    """Counts of attempts that the ledger says nothing about."""
    wrong = {
        "a job was done without a fenced transaction": "import_job WHERE state = 'done' AND writes < 1",
        "a job ended with less than it began with": "import_job WHERE items_done < items_at_claim",
        "a job did more than all": "import_job WHERE items_done > items_total",
        "a request was given up": "ingest_request WHERE state NOT IN ('queued', 'running', 'done')",
        "a request was done without a claim": "ingest_request WHERE state = 'done' AND claim_token <= reset_count",
        "more crashes than resets": "ingest_batch_item i WHERE crash_count > (SELECT COALESCE(SUM(reset_count), 0)"
        " FROM import_job j WHERE j.batch_id = i.batch_id)",
    }
    return [what for what, rows in wrong.items() if world.one(f"SELECT COUNT(*) FROM {rows}")]


# the ledger


def _events(world: World) -> list[Event]:
    rows = world.sql(
        "SELECT b.sync_id, e.event_type, e.payload FROM ingest_event e LEFT JOIN ingest_batch b ON b.id = e.batch_id"
        " WHERE %s ORDER BY e.id",
        1,
    )
    hashes = _hashes(world)
    return [Event(sync_id, kind, _named(hashes, json.loads(payload))) for sync_id, kind, payload in rows]


def _jobs(world: World) -> dict[int, Job]:
    rows = world.sql(
        "SELECT id, state, claim_token, reset_count, release_count, items_done FROM import_job WHERE %s", 1
    )
    return {row[0]: Job(*row[1:]) for row in rows}


Hashes = dict[str, dict[int, str]]


def _hashes(world: World) -> Hashes:
    return {key: dict(world.sql(f"SELECT id, hash FROM {table} WHERE %s", 1)) for key, table in NUMBERED.items()}


def _named(hashes: Hashes, value: Any) -> Any:
    """The same JSON with hashes in place of the ids of library rows."""
    if isinstance(value, list):
        return [_named(hashes, part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        key: hashes[key].get(part, f"no such row: {part}") if key in hashes else _named(hashes, part)
        for key, part in value.items()
    }


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

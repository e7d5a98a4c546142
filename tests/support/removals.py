"""Bundles that take rows out of sight, for the tests of the limit."""

from collections.abc import Iterable
from typing import Any

from ingestd.pipeline.context import Context
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, md5, photo


def entries(names: Iterable[str]) -> list[dict[str, Any]]:
    """The entries of a removal."""
    return [{"type": "photo", "hash": md5(name)} for name in names]


def names(count: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def container(name: str, members: Iterable[str], kind: str = "gallery", **more: Any) -> dict[str, Any]:
    return {"type": kind, "hash": md5(name), "items": [md5(member) for member in members], **more}


def imported(world: World, context: Context, count: int, *, files: int = 1, **envelope: Any) -> list[str]:
    """Imports so many photos on the first day; their names."""
    made = names(count)
    assert world.import_all(context, world.put(*(photo(name, files=files) for name in made), **envelope)) == ["done"]
    return made


def queue(context: Context, sync_id: str, **options: Any) -> None:
    enqueue(context, QueueRequest(sync_id, "tester", **options))


def run_automatically(world: World, context: Context) -> str | None:
    """Queues without a plan, as the daemon does, and runs it."""
    world.scan(context)
    assert Sweeper(context).queue_new() == 1
    return world.run_next(context)


def live(world: World, table: str = "asset") -> int:
    return int(world.one(f"SELECT COUNT(*) FROM {table} WHERE deleted_at IS NULL"))


def events(world: World, sync_id: str, kind: str) -> list[dict[str, Any]]:
    return [payload for event, payload in world.events(sync_id) if event == kind]


def removed(world: World, sync_id: str, kind: str = "removed") -> tuple[int, int, int]:
    """How many assets, files and members a batch removed, or is `expected` to remove, as it is recorded."""
    rows = world.sql(
        f"SELECT {kind}_assets, {kind}_files, {kind}_members FROM ingest_batch_removal r"
        " JOIN ingest_batch b ON b.id = r.batch_id WHERE b.sync_id = %s",
        sync_id,
    )
    return rows[0] if rows else (0, 0, 0)

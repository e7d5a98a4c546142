"""Bundles that were imported before: their files and batches, without the work of importing them."""

import hashlib
import uuid

from common import Bench

SMALL = b'{"status": "imported before"}'
ROWS = 2000
INSERT = (
    "INSERT INTO ingest_batch (sync_id, type, action, status, item_count, manifest_sha256, plan_sha256,"
    " manifest_completed_at, imported_version_at, is_placed, discovered_at, completed_at) VALUES "
)
COLUMNS = "'event', 'create', 'imported', 1, '{digest}', '{digest}', '2026-04-12', '2026-04-12', 1, NOW(6), NOW(6)"


def know(world: Bench, count: int, content: bytes = SMALL) -> None:
    """So many bundles with this manifest, which is only digested once it is known."""
    sync_ids = [str(uuid.uuid4()) for _ in range(count)]
    for sync_id in sync_ids:
        (world.root / "sync" / f"{sync_id}.json").write_bytes(content)
        (world.root / "sync" / f"{sync_id}.ready").touch()
    columns = COLUMNS.format(digest=hashlib.sha256(content).hexdigest())
    rows = [f"('{sync_id}', {columns})" for sync_id in sync_ids]
    world.sql(*(INSERT + ", ".join(rows[at : at + ROWS]) for at in range(0, count, ROWS)))


def manifest_of_many(count: int) -> bytes:
    """What the manifest of so many items may look like."""
    entry = (
        b'{"type": "photo", "hash": "%032x", "path": "photo/%032x", "title": "Photo %d", "files":'
        b' [{"variant": "original", "path": "original.jpg", "bytes": 1048576, "sha256": "%064x"}]}'
    )
    return b'{"items": [' + b",".join(entry % (number, number, number, number) for number in range(count)) + b"]}"

"""Jobs of small bundles that one worker claims together: what tests of them share."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from ingestd.errors import LeaseLost
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.importer import group_import
from ingestd.pipeline.importer.together import Together
from ingestd.pipeline.sweeps import Sweeper
from ingestd.pipeline.worker_pool import WorkerPool
from support.world import World, owner_cursor, photo

NUMBERS = count(100)
IN_ANY_ORDER = (
    "SELECT asset_type, hash, title, path, entry_sha256, documents_sha256, synced_at, sync_id FROM asset ORDER BY hash",
    "SELECT hash, variant, f.path, bytes, sha256, f.synced_at, f.sync_id"
    " FROM asset_file f JOIN asset a ON a.id = asset_id ORDER BY hash, variant",
    "SELECT hash, analysis_kind, document, document_sha256, is_current, r.synced_at, r.sync_id"
    " FROM asset_ai_run r JOIN asset a ON a.id = asset_id ORDER BY hash, analysis_kind",
    "SELECT hash, document, document_sha256, is_current, s.synced_at, s.sync_id"
    " FROM asset_source s JOIN asset a ON a.id = asset_id ORDER BY hash",
    "SELECT state, items_done, items_total, manifest_sha256, writes, last_error FROM import_job ORDER BY id",
    "SELECT b.sync_id, t.decision, t.reason, items FROM ingest_batch_tally t JOIN ingest_batch b ON b.id = batch_id"
    " ORDER BY 1, 2, 3",
    "SELECT b.sync_id, ordinal, i.asset_type, asset_hash, i.entry_sha256, decision, reason, waiting_for, a.hash"
    " FROM ingest_batch_item i JOIN ingest_batch b ON b.id = batch_id LEFT JOIN asset a ON a.id = i.asset_id"
    " ORDER BY 1, 2",
    "SELECT sync_id, status, last_error, plan_sha256 = manifest_sha256, invalid_basis, imported_version_at,"
    " imported_generation, imported_revision, is_placed, failure_count, retry_at FROM ingest_batch ORDER BY 1",
)
"""what a library and a queue without ids and times hold"""


def noted(monkeypatch: pytest.MonkeyPatch, claimed: list[int] | None = None) -> list[int]:
    """How many of the jobs that were claimed together each group has ended; `claimed`: how many were claimed."""
    run, found = Together.run, list[int]()

    def noting(self: Together) -> Any:
        done = run(self)
        found.append(len(done))
        if claimed is not None:
            claimed.append(len(self.leases))
        return done

    monkeypatch.setattr(Together, "run", noting)
    return found


def of_threads(world: World, threads: int) -> Context:
    return world.context(worker={"threads": threads}, queue={"auto": ["create", "update", "remove"]})


def queued(world: World, context: Context) -> WorkerPool:
    """Has all that is new queued in the order of delivery, and returns a pool for it."""
    world.scan(context)
    assert Sweeper(context).queue_new()
    return WorkerPool(context, this_instance())


def put(world: World, name: str, *more: Any, **options: Any) -> str:
    """A small bundle with documents."""
    world.file(f"{photo(name)['path']}/source/source.json", json.dumps({"of": name}).encode())
    world.file(f"{photo(name)['path']}/source/data/photo.meaning.json", json.dumps([name]).encode())
    return world.put(photo(name, files=2), *more, **{"sync_id": next_id(), **options})


def next_id() -> str:
    """Newer ones are greater, so that they are queued in the order of delivery."""
    return f"00000000-0000-4000-8000-{next(NUMBERS):012}"


def statuses(world: World, sync_ids: Sequence[str]) -> list[str]:
    return [world.status(sync_id) for sync_id in sync_ids]


def lose_first_job(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Takes the first job from its worker before a group ends its jobs; returns the errors that this makes."""
    end, lost = group_import._end, list[Exception]()

    def losing(*arguments: Any) -> None:
        with owner_cursor(world.server.owner_settings()) as cursor:
            cursor.execute("UPDATE import_job SET claim_token = claim_token + 1 ORDER BY id LIMIT 1")
        try:
            end(*arguments)
        except LeaseLost as error:
            lost.append(error)
            raise

    monkeypatch.setattr(group_import, "_end", losing)
    return lost

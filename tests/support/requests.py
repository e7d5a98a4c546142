"""Requests of a test: accepted, claimed and looked at through a connection of the test's own."""

from collections.abc import Sequence
from typing import Any

from ingestd.model import RequestKind
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.requests import ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.records import IngestRequest
from ingestd.store import request
from ingestd.store.request import Claim
from support.world import World

ME = this_instance()


def accept(world: World, sync_id: str | None = None) -> int:
    """Accepts a scan, or the pre-flight of a batch; the id of its request."""
    kind = RequestKind.SCAN if sync_id is None else RequestKind.PREFLIGHT
    return any_context(world).db.transaction(lambda tx: request.insert(tx, kind, "olga", sync_id))


def look(world: World, request_id: int) -> IngestRequest:
    found = any_context(world).db.read(lambda tx: request.find(tx, request_id))
    assert found is not None
    return found


def states(world: World) -> list[str]:
    return [state for (state,) in world.sql("SELECT state FROM ingest_request ORDER BY id")]


def scans_of(context: Context) -> ScanStep:
    return ScanStep(context, ME, Scanner(context))


def take(context: Context, kind: RequestKind = RequestKind.SCAN) -> Claim | None:
    return context.db.transaction(
        lambda tx: request.claim_next(tx, kind, "elsewhere/pid:1/scan", str(ME), context.settings.worker.patience)
    )


def any_context(world: World) -> Context:
    """The oldest context of the world, or its first."""
    return world.contexts[0] if world.contexts else world.context()


def scan_result(sync_ids: list[str], unrecorded: Sequence[str] = (), ignored: Sequence[str] = ()) -> dict[str, Any]:
    """The result of a scan that recorded these bundles; the manifests of `unrecorded` are missing."""
    reasons = dict.fromkeys(unrecorded, "the manifest cannot be read: No such file or directory")
    names = {"unrecorded_reasons": reasons, "ignored_names": list(ignored), "ignored_count": len(ignored)}
    return {"sync_ids": sync_ids, "unrecorded": len(unrecorded), "unrecorded_ids": list(unrecorded), **names}

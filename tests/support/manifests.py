"""Manifests for tests: a valid one, to be changed in one place."""

import json
from typing import Any

from ingestd.format.manifest import Manifest, parse_manifest

SYNC_ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"
PRIOR = "bc02ed61-9d39-4538-952a-ed4ced680e96"
A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


def envelope(**changes: Any) -> dict[str, Any]:
    base = {
        "sync_id": SYNC_ID,
        "type": "event",
        "action": "update",
        "status": "completed",
        "created_at": "2026-04-12T21:30:00Z",
        "completed_at": "2026-04-12T21:35:35Z",
        "verification": {"passed": True},
        "items": [],
    }
    return {**base, **changes}


def photo(hash_: str = A, **changes: Any) -> dict[str, Any]:
    return {"type": "photo", "hash": hash_, **changes}


def cover(hash_: str, parent: str, **changes: Any) -> dict[str, Any]:
    return {"type": "cover", "hash": hash_, "parent_hash": parent, **changes}


def encoded(**changes: Any) -> bytes:
    return json.dumps(envelope(**changes)).encode()


def parsed(**changes: Any) -> Manifest:
    return parse_manifest(encoded(**changes))

"""Documents of the largest allowed size reach the library, whatever they consist of and however SQL escapes them."""

import base64
import json
from typing import Any

import pytest

from support.scale import IS_SOAK
from support.world import World, md5, photo

LIMIT = 4 * 2**20
TEXTS = {
    "zeros": bytes(LIMIT),
    "utf-16": "Grundlagen der Bildanalyse\n".encode("utf-16-le") * 77_672,
    "backslashes": b"\\" * LIMIT,
    "quotes": b'"' * LIMIT,
    "apostrophes": b"'" * LIMIT,
    "line-breaks": b"\n" * LIMIT,
    "escape-codes": b"\x1b[31m" * (LIMIT // 5),
    "noise": bytes(range(256)) * (LIMIT // 256),
    "emoji": "x📷".encode() * (LIMIT // 5),
    "json-of-backslashes": b'"' + b"\\" * (LIMIT - 2) + b'"',
    "json-of-quotes": b'["' + b'\\"' * (LIMIT // 2 - 2) + b'"]',
    "json-of-zeros": b'"' + b"\\u0000" * (LIMIT // 6 - 1) + b'"',
    "sparse-json": b"[" + b"{}," * (LIMIT // 3 - 1) + b"{}]",
}


@pytest.mark.soak
@pytest.mark.parametrize("name", TEXTS if IS_SOAK else ["zeros", "utf-16", "backslashes", "quotes", "emoji"])
def test_every_document_within_the_limit_is_imported(world: World, name: str) -> None:
    content = TEXTS[name]
    assert LIMIT - 64 <= len(content) <= LIMIT
    sync_id = world.put(photo("odd"), photo("plain"))
    world.file(f"photo/{md5('odd')}/source/data/{name}", content)
    world.file(f"photo/{md5('odd')}/source/source.json", content)
    assert world.import_all(world.context(), sync_id) == ["done"]
    assert set(world.decisions(sync_id).values()) == {"created"}, world.sql("SELECT last_error FROM ingest_batch_item")
    for table in ("asset_source", "asset_ai_run"):
        (stored,) = (row[0] for row in world.sql(f"SELECT document FROM {table}"))
        assert original(stored) == content


def original(stored: str) -> bytes:
    """What was on the mount, from what is in the library."""
    if stored[0] != "{":
        return stored.encode()
    wrapped: dict[str, Any] = json.loads(stored)
    return wrapped["data"].encode() if wrapped["encoding"] == "text" else base64.b64decode(wrapped["data"])

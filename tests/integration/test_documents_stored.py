"""Documents of the largest allowed size reach the library, whatever they consist of and however SQL escapes them."""

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.embedded import EmbeddedMariaDB
from ingestd.mount.documents import as_json
from support.scale import IS_SOAK, scaled
from support.world import World, md5, owner_sql, photo

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


TOKENS = ["[", "]", "{", "}", '"', "\\", ",", ":", "1", "0", "-", ".", "e", "E+", "true", "null", " ", "\t", "\n",
          "\\u0041", "\\ud83d\\ude00", "\\ud800", "\\u0000", "\\/", "\\b", "\\x", "ä", "📷", "\x7f", "\0", "\x0c",
          "NaN", "999999999999999999999", "1e999", '{"a":', "[1,2]", '""', '"a"', "\u2028", "\ufeff"]  # fmt: skip


@pytest.mark.soak
@settings(max_examples=scaled(100, 20_000), deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=8).map("".join))
def test_the_server_takes_for_json_what_is_stored(server: EmbeddedMariaDB, text: str) -> None:
    stored = as_json(text.encode()).decode()
    assert owner_sql(server.owner_settings(), "SELECT JSON_VALID(%s)", stored) == [(1,)]


def test_documents_that_are_slow_to_check_harm_no_sibling(world: World) -> None:
    """Six documents with many escaped quotes after an open bracket, among items with usual ones."""
    hostile = b"[" * 40 + b'"' + b'\\"' * 2_000_000
    names = [f"{number}" for number in range(9)]
    sync_id = world.put(*map(photo, names))
    for name in names:
        content = hostile if int(name) % 3 else b'{"a": 1}'
        world.file(f"photo/{md5(name)}/source/data/photo.meaning.json", content)
    context = world.context(mount={"deadline": 3.0, "settle_seconds": 3.0})
    began = time.monotonic()
    assert world.import_all(context, sync_id) == ["done"]
    assert time.monotonic() - began < 20.0
    assert set(world.decisions(sync_id).values()) == {"created"}

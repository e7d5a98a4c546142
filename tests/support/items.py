"""An assets root with one item, read by the code of the mount helpers."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ingestd.format.entry import File
from ingestd.mount import items, wire
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.wire import ReadItems

CONTENT = b"not really a photo"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ORIGINAL = File("original", "a.jpg", len(CONTENT), SHA256)
Verify = Literal["none", "size", "sha256"]


@dataclass
class Root:
    """An assets root with one item."""

    path: Path
    fd: int

    @property
    def item(self) -> Path:
        return self.path / "photo" / "one"

    @property
    def data(self) -> Path:
        return self.item / "source" / "data"

    def read(self, *wanted: File, path: str = "photo/one", verify: Verify = "size", limit: int = 1000) -> Reading:
        request = ReadItems(str(self.path), [], verify, limit, 1)
        verified: list[int] = []
        reading = items.read_item(self.fd, ItemRequest(5, path, wanted), request, verified.append)
        sent = wire.Readings([reading])
        assert wire.decode_reply(wire.encode(sent)) == sent, "a reading survives its way over the wire"
        reading.bytes_read += sum(verified)
        return reading

    def documents(self) -> dict[str, Any]:
        reading = self.read()
        assert reading.problem is None
        return {document.kind: json.loads(document.text) for document in reading.documents}


@contextmanager
def item_root(path: Path) -> Iterator[Root]:
    """A root with one item that has one file and no documents."""
    (path / "sync").mkdir(parents=True)
    (path / "photo/one/source/data").mkdir(parents=True)
    (path / "photo/one/a.jpg").write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Root(path, fd)
    finally:
        os.close(fd)

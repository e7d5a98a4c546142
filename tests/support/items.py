"""An assets root with one item, read by the code of the mount helpers."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ingestd.format.entry import File
from ingestd.mount import items, wire
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.wire import DocumentLimits, ReadItems

CONTENT = b"not really a photo"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ORIGINAL = File("original", "a.jpg", len(CONTENT), SHA256)
Verify = Literal["none", "size", "sha256"]


def request_for(
    root: str,
    items: list[ItemRequest],
    *,
    verify: Verify = "size",
    limit: int = 1000,
    count: int = 100,
    total: int = 2**20,
    window: int = 2**24,
    workers: int = 1,
    silence: float = 60.0,
) -> ReadItems:
    return ReadItems(root, items, verify, DocumentLimits(limit, count, total), window, workers, silence)


@dataclass
class Root:
    """An assets root with one item."""

    path: Path
    fd: int
    steps: list[int] = field(default_factory=list)

    @property
    def item(self) -> Path:
        return self.path / "photo" / "one"

    @property
    def data(self) -> Path:
        return self.item / "source" / "data"

    def read(self, *wanted: File, path: str = "photo/one", verify: Verify = "size", **limits: int) -> Reading:
        """Reads the item; `steps` then has the bytes of each step that was reported."""
        item = ItemRequest(5, path, wanted)
        self.steps.clear()
        request = request_for(str(self.path), [item], verify=verify, **limits)
        reading = items.ItemReader(self.fd, request, self.steps.append).read(item)
        sent = wire.Readings([reading])
        assert wire.decode_reply(wire.encode(sent)) == sent, "a reading survives its way over the wire"
        return reading

    @property
    def bytes_read(self) -> int:
        return sum(self.steps)

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

"""A file that changes while its digest is computed: reading ends, and the item waits until the file has settled."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.format.entry import File
from ingestd.model import Reason
from ingestd.mount import paths
from support.items import CONTENT, ORIGINAL, SHA256, Root, item_root

UNSIZED = File("original", "a.jpg", None, SHA256)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with item_root(tmp_path / "root") as made:
        yield made


def before_each_read(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> list[int]:
    """Calls `change` with the number of the read; returns the sizes of all blocks that were read."""
    real_read = os.read
    blocks: list[int] = []

    def read(fd: int, count: int) -> bytes:
        assert len(blocks) < 50, "reading does not end"
        change(len(blocks))
        data = real_read(fd, count)
        blocks.append(len(data))
        return data

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(paths, "BLOCK", 4)
    return blocks


def appending(path: Path) -> Callable[[int], None]:
    def append(_number: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    return append


@pytest.mark.parametrize("file", [UNSIZED, ORIGINAL])
def test_a_file_that_keeps_growing_is_read_to_its_first_size(
    root: Root, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    blocks = before_each_read(monkeypatch, appending(root.item / "a.jpg"))
    reading = root.read(file, verify="sha256")
    assert sum(blocks) == len(CONTENT)
    assert (reading.reason, reading.transient) == (Reason.FILE_SIZE_MISMATCH, True)
    assert "it is being written" in str(reading.problem)


def test_a_file_that_shrinks_meanwhile(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    before_each_read(monkeypatch, lambda number: os.truncate(root.item / "a.jpg", 6) if number == 1 else None)
    reading = root.read(UNSIZED, verify="sha256")
    assert (reading.reason, reading.transient) == (Reason.FILE_SIZE_MISMATCH, True)


def test_a_file_that_has_settled_is_verified(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root.item / "a.jpg"
    path.write_bytes(CONTENT[:5])
    before_each_read(monkeypatch, lambda number: void(path.write_bytes(CONTENT)) if number == 1 else None)
    assert root.read(UNSIZED, verify="sha256").transient
    assert root.read(UNSIZED, verify="sha256").problem is None


def test_a_file_that_grew_from_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.item / "a.jpg").write_bytes(b"")
    before_each_read(monkeypatch, appending(root.item / "a.jpg"))
    reading = root.read(UNSIZED, verify="sha256")
    assert (reading.reason, reading.transient) == (Reason.FILE_HASH_MISMATCH, False)


def test_a_document_that_grows_is_read_to_its_limit(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    document = root.data / "log.txt"
    document.write_text("begin")
    before_each_read(monkeypatch, appending(document))
    assert root.read(limit=60).reason is Reason.DOCUMENT_TOO_LARGE


def void(_value: object) -> None:
    pass

"""A deadline is about silence: an item, a document or a file may take as long as its mount needs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.format.entry import File
from ingestd.model import Reason
from ingestd.mount.access import Mount
from support.faulty_helper import MARKED, QUICK, SLOW_READ, inject
from support.mounts import Folder
from support.scale import IS_SOAK

DEADLINE = 0.8
STEPS, STEP_SECONDS = 20, 0.05


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "assets")


@pytest.fixture
def slow(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    """Each block of a file takes a while; blocks are small. The deadline is shorter than any item takes."""
    small_blocks = "from ingestd.mount import paths; paths.BLOCK = 1000"
    inject(monkeypatch, QUICK, SLOW_READ.format(read=STEP_SECONDS, fstat=0.0), small_blocks)
    mount = folder.mount(deadline=DEADLINE, verify="sha256")
    yield mount
    mount.close()


def test_an_item_of_many_slow_documents_is_read(folder: Folder, slow: Mount) -> None:
    folder.item("a", *[b"{}"] * STEPS)
    (reading,) = folder.read(slow)
    assert (reading.problem, len(reading.documents)) == (None, STEPS)
    assert folder.pauses == []


def test_one_slow_document_is_read(folder: Folder, slow: Mount) -> None:
    folder.item("a", b'"' + b"x" * STEPS * 1000 + b'"')
    (reading,) = folder.read(slow)
    assert (reading.problem, reading.size) == (None, STEPS * 1000 + 2)
    assert folder.pauses == []


def test_one_slow_file_is_verified_and_reported_as_it_is_read(folder: Folder, slow: Mount) -> None:
    content = b"x" * STEPS * 1000
    file = File("original", "a.jpg", len(content), hashlib.sha256(content).hexdigest())
    folder.item("a", files=(file,))
    (folder.root / str(folder.entries[0].path) / "a.jpg").write_bytes(content)
    progress: list[int] = []
    (reading,) = folder.read(slow, progress.append)
    assert reading.problem is None
    assert sum(progress) == len(content)
    assert len([count for count in progress if count]) > 2
    assert folder.pauses == []


def test_an_item_of_many_files_on_a_slow_mount_is_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, QUICK, SLOW_READ.format(read=0.0, fstat=STEP_SECONDS))
    files = tuple(File(f"v{number}", f"{number}.jpg", 1) for number in range(STEPS))
    folder.item("a", files=files)
    for file in files:
        (folder.root / str(folder.entries[0].path) / file.path).write_bytes(b"x")
    mount = folder.mount(deadline=DEADLINE)
    try:
        assert [reading.problem for reading in folder.read(mount)] == [None]
    finally:
        mount.close()
    assert folder.pauses == []


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 16])
def test_silent_items_fail_alone_after_settling(folder: Folder, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    inject(monkeypatch, QUICK, MARKED)
    monkeypatch.setattr(Mount, "is_remote", True)
    silent = [0, 7, 8] if IS_SOAK else [7]
    for number in range(30):
        folder.item(f"{number}", b'"hang"' if number in silent else b"{}")
    mount = folder.mount(deadline=1.0, settle_seconds=0.01, readers=workers)
    try:
        readings = folder.read(mount)
    finally:
        mount.close()
    assert [reading.ordinal for reading in readings if reading.problem] == silent
    assert {reading.reason for reading in readings} == {None, Reason.FILE_UNREADABLE}
    assert "does not answer" in str(readings[7].problem)

"""How often a file system is asked for an item: on a far mount each time takes tens of milliseconds."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.format.entry import File
from ingestd.mount.records import ItemRequest
from support.faulty_fuse import GETATTR, LOOKUP, OPEN, OPENDIR, READ, READDIR, FaultyFuse, faulty_fuse
from support.real_mount import MakeMount

ASKED = {LOOKUP, GETATTR, OPEN, READ, OPENDIR, READDIR}
"""operations that the caller waits for"""
ITEMS, DOCUMENTS = 10, 5
FILES = (File("original", "image.jpg", bytes=10), File("small", "small.jpg", bytes=5))


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FaultyFuse]:
    source = tmp_path / "source"
    for number in range(ITEMS):
        data = source / path_of(number) / "source/data"
        data.mkdir(parents=True)
        for file in FILES:
            (source / path_of(number) / file.path).write_bytes(b"x" * (file.bytes or 0))
        (data.parent / "source.json").write_bytes(b"{}")
        for document in range(DOCUMENTS - 1):
            (data / f"{document}.json").write_bytes(b'{"a": 1}')
    (source / "sync").mkdir()
    with faulty_fuse(source, tmp_path / "mnt") as made:
        made.valid = 60
        yield made


def path_of(number: int) -> str:
    return f"photo/{number:032x}"


def read(far: FaultyFuse, make_mount: MakeMount) -> Counter[int]:
    """Reads all items; returns how often each operation was asked for."""
    mount = make_mount(root=far.point)
    mount.check()
    far.operations.clear()
    items = [ItemRequest(number, path_of(number), FILES, True) for number in range(ITEMS)]
    for reading in mount.read_items(items):
        assert (reading.problem, len(reading.documents)) == (None, DOCUMENTS)
    return Counter({operation: count for operation, count in far.operations.items() if operation in ASKED})


def test_nothing_is_asked_for_twice(far: FaultyFuse, make_mount: MakeMount) -> None:
    asked = read(far, make_mount)
    names = 1 + len(FILES) + len(["source", "source.json", "data"]) + DOCUMENTS - 1
    assert asked[LOOKUP] <= ITEMS * names + 1
    assert asked[GETATTR] <= 1, "what was looked up is known"
    assert asked[OPEN] == asked[READ] == ITEMS * DOCUMENTS, (
        "files are not opened for their size, nor read past their end"
    )
    assert asked[OPENDIR] == ITEMS, "only a folder that is listed is opened"
    assert asked[READDIR] == 2 * ITEMS
    assert asked.total() <= ITEMS * (names + 2 * DOCUMENTS + 3) + 2


def test_the_folder_of_many_items_is_looked_up_once(far: FaultyFuse, make_mount: MakeMount) -> None:
    """Also where the kernel forgets names at once."""
    far.valid = 0
    names = 1 + len(FILES) + len(["source", "source.json", "data"]) + DOCUMENTS - 1
    assert read(far, make_mount)[LOOKUP] <= ITEMS * names + 1

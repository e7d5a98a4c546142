"""Whatever a document consists of, reading it takes time and memory in proportion to its size, and harms no sibling."""

import time
from collections.abc import Iterator

import pytest

from ingestd.model import Reason
from ingestd.mount.access import Mount
from ingestd.mount.reader_shares import ReaderShares
from support.document_shapes import REFUSED, SHAPES, expected_reason
from support.mounts import Folder
from support.processes import helpers, peak_memory
from support.scale import scaled
from support.world import World, md5, photo

MIB = 2**20
SIZE = scaled(1, 4) * MIB
BYTES_PER_BYTE, SPARE_BYTES = 8, 8 * MIB
"""What a document may cost in memory for each of its bytes, and what any request may cost."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("corpus") / "assets")


@pytest.fixture(scope="module")
def mount(folder: Folder) -> Iterator[Mount]:
    made = folder.mount(max_item_document_bytes=LIMIT)
    folder.item("warm", b"{}")
    folder.read(made)
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.parametrize("name", SHAPES)
def test_a_document_costs_in_proportion_to_its_size(folder: Folder, mount: Mount, name: str) -> None:
    content = SHAPES[name](SIZE)
    assert name == "nothing" or SIZE - 64 <= len(content) <= SIZE
    folder.entries.clear()
    for sibling, documents in {"before": [b"[1]"], name: [content], "after": [b"[2]"]}.items():
        folder.item(f"{name}/{sibling}", *documents)
    (helper,) = helpers()
    with peak_memory("self") as ours, peak_memory(helper) as theirs:
        began = time.monotonic()
        before, reading, after = folder.read(mount)
        seconds = time.monotonic() - began
    assert reading.reason is expected_reason(name), reading.problem
    assert [before.documents[0].text, after.documents[0].text] == [b"[1]", b"[2]"]
    assert reading.size <= 2 * SIZE + 40
    assert seconds < 1 + SIZE / MIB
    assert max(ours.bytes, theirs.bytes) < BYTES_PER_BYTE * SIZE + SPARE_BYTES
    assert helpers() == {helper}, "the helper was lost"


LIMIT = scaled(8, 64) * MIB
MANY = {
    "as many bytes as allowed": (15, LIMIT // 16, None),
    "too many bytes": (50, LIMIT // 16, Reason.TOO_MANY_DOCUMENTS),
    "as many documents as allowed": (1000, 100, None),
    "too many documents": (1001, 100, Reason.TOO_MANY_DOCUMENTS),
    "too many documents without content": (3000, 0, Reason.TOO_MANY_DOCUMENTS),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", MANY)
def test_all_documents_of_an_item_together_are_limited(folder: Folder, mount: Mount, name: str) -> None:
    count, size, reason = MANY[name]
    sparse = SHAPES["empty objects"](size) if size else b""
    folder.entries.clear()
    folder.item(f"{name}/before", b"[1]")
    folder.item(name, *[sparse] * count)
    folder.item(f"{name}/after", b"[2]")
    (helper,) = helpers()
    with peak_memory("self") as ours, peak_memory(helper) as theirs:
        readings = folder.read(mount)
    assert [reading.reason for reading in readings] == [None, reason, None], readings[1].problem
    assert len(readings[1].documents) == (0 if reason else count)
    assert "mount.max_item_document" in str(readings[1].problem) or not reason
    assert max(ours.bytes, theirs.bytes) < 2 * LIMIT + SPARE_BYTES


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 16])
def test_large_items_one_after_another_do_not_add_up(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("ingestd.mount.attempt.READ_WINDOW", LIMIT // 4)
    monkeypatch.setattr(mount, "_shares", ReaderShares(workers))
    monkeypatch.setattr(Mount, "is_remote", True)
    sparse = SHAPES["empty objects"](LIMIT // 16)
    folder.entries.clear()
    for number in range(4):
        folder.item(f"large/{workers}/{number}", *[sparse] * 15)
    (helper,) = helpers()
    with peak_memory(helper) as theirs:
        reader = folder.reader(mount)
        for entry in folder.entries:
            (reading,) = reader.read(folder.entries[entry.ordinal :]).values()
            assert (reading.problem, len(reading.documents)) == (None, 15)
    assert theirs.bytes < 2 * LIMIT + 2 * workers * len(sparse) + SPARE_BYTES


@pytest.mark.soak
def test_every_shape_of_document_is_imported_or_fails_alone(world: World) -> None:
    bundle = [photo(name) for name in SHAPES]
    for name, shape in SHAPES.items():
        world.file(f"photo/{md5(name)}/source/data/x", shape(scaled(2**14, 2**22)))
    sync_id = world.put(*bundle)
    with peak_memory("self") as ours:
        assert world.import_all(world.context(), sync_id) == ["done"]
    bad = {md5(name) for name in REFUSED}
    expected = {item["hash"]: "failed:document_too_deep" if item["hash"] in bad else "created" for item in bundle}
    assert world.decisions(sync_id) == expected
    assert ours.bytes < 200 * MIB

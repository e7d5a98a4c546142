"""Documents of an item: which there are, what they are called, and that all of them end as JSON."""

import base64
import hashlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.model import Reason
from ingestd.mount import documents, items
from ingestd.mount.records import ItemRequest
from support.items import Root, item_root, request_for
from support.scale import scaled


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with item_root(tmp_path / "root") as made:
        yield made


def test_documents_have_their_kinds_and_their_order(root: Root) -> None:
    (root.item / "source/source.json").write_text('{"s": 1}')
    for name in (
        "photo.manifest.json",
        "photo.analysis.json",
        "photo.meaning.json",
        "photo.family.json",
        "b.json",
        "a.txt",
    ):
        (root.data / name).write_text(f'"{name}"')
    reading = root.read()
    assert [document.kind for document in reading.documents] == [
        "source", "source_data:a.txt", "source_data:b.json",
        "photo_analysis", "photo_family", "photo_manifest", "photo_meaning",
    ]  # fmt: skip
    assert reading.documents[0].text == b'{"s": 1}'
    assert reading.documents[0].sha256 == hashlib.sha256(b'{"s": 1}').hexdigest()
    assert root.bytes_read > 8


def test_no_documents_are_read_unless_wanted(root: Root) -> None:
    (root.item / "source/source.json").write_text("{}")
    item = ItemRequest(0, "photo/one", (), False)
    assert items.ItemReader(root.fd, request_for("", [item])).read(item).documents == []


def test_what_is_not_json_is_wrapped(root: Root) -> None:
    for name, data in {"a": b"caf\xc3\xa9", "b": b"\xff\0", "c": b"", "d": b'{"a": NaN}', "e": b"[1"}.items():
        (root.data / name).write_bytes(data)
    found = root.documents()
    assert found["source_data:a"] == {"encoding": "text", "data": "caf\u00e9"}
    assert found["source_data:b"] == {"encoding": "base64", "data": base64.b64encode(b"\xff\0").decode()}
    assert found["source_data:c"] == {"encoding": "text", "data": ""}
    assert found["source_data:d"] == {"encoding": "text", "data": '{"a": NaN}'}
    assert found["source_data:e"] == {"encoding": "text", "data": "[1"}


def test_names_that_are_not_utf8_are_percent_encoded(root: Root) -> None:
    for name in (b"\xff", b"100%", "\u00e9".encode(), b"a b", b"a\nb"):
        Path(os.fsdecode(os.fsencode(root.data) + b"/" + name)).write_text("1")
    kinds = {"%FF", "100%25", "%C3%A9", "a b", "a%0Ab"}
    assert set(root.documents()) == {f"source_data:{kind}" for kind in kinds}


def test_only_regular_files_are_documents_and_nothing_blocks(root: Root) -> None:
    os.mkfifo(root.data / "fifo.json")
    (root.data / "folder.json").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(root.data, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket.json")
        os.close(here)
    os.mkfifo(root.item / "source/source.json")
    (root.data / "z.json").write_text("{}")
    assert set(root.documents()) == {"source_data:z.json"}


def test_a_document_that_is_too_large(root: Root) -> None:
    (root.data / "a.json").write_text('"' + "x" * 998 + '"')
    assert root.read().problem is None
    (root.data / "b.json").write_text('"' + "x" * 999 + '"')
    reading = root.read()
    assert reading.reason is Reason.DOCUMENT_TOO_LARGE
    assert "b.json" in str(reading.problem)


@pytest.mark.parametrize("levels", [31, 900, 20_000])
def test_a_document_that_is_too_deep(root: Root, levels: int) -> None:
    (root.data / "a.json").write_text("[" * 30 + "]" * 30)
    assert root.read().problem is None
    (root.data / "b.json").write_text("[" * levels + "]" * levels)
    assert root.read(limit=100_000).reason is Reason.DOCUMENT_TOO_DEEP


def test_brackets_that_are_not_json_are_just_text(root: Root) -> None:
    (root.data / "a.txt").write_text("]" * 40 + "[" * 40)
    assert root.documents()["source_data:a.txt"]["encoding"] == "text"


def test_a_document_that_is_listed_but_not_there_may_yet_come(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.data / "b.json").write_text("{}")
    real_scandir = os.scandir
    ghost = SimpleNamespace(name="a.json", is_dir=lambda follow_symlinks: False)
    monkeypatch.setattr(os, "scandir", lambda folder: nullcontext([ghost, *real_scandir(folder)]))
    reading = root.read()
    assert (reading.reason, reading.transient) == (Reason.FILE_UNREADABLE, True)
    assert "a.json" in str(reading.problem)


def test_a_source_that_is_not_a_folder_has_no_documents(root: Root) -> None:
    root.data.rmdir()
    root.data.write_text("{}")
    assert root.documents() == {}
    root.data.unlink()
    root.data.parent.rmdir()
    root.data.parent.write_text("{}")
    assert root.documents() == {}


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.binary(min_size=1), st.binary(min_size=1))
def test_no_two_names_share_a_kind(one: bytes, other: bytes) -> None:
    kinds = {documents.kind_of(os.fsdecode(name)) for name in (one, other)}
    assert len(kinds) == len({one, other})
    assert all(kind.isascii() and kind.isprintable() for kind in kinds)


@pytest.mark.parametrize("name", ["photo.meaning.json", "photo_meaning", "photo.meaning.json%", "%"])
def test_known_kinds_cannot_be_imitated(name: str) -> None:
    known = set(documents.KINDS.values())
    assert (documents.kind_of(name) in known) == (name in documents.KINDS)


@pytest.mark.soak
@settings(max_examples=scaled(100, 5000), deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_every_document_becomes_json(data: bytes) -> None:
    stored = documents.as_json(data)
    wrapped = json.loads(stored)
    assert len(stored) <= 2 * len(data) + 40
    if stored != data:
        text = wrapped["data"]
        assert data == (text.encode() if wrapped["encoding"] == "text" else base64.b64decode(text))


def test_a_wrapped_document_keeps_no_more_memory_than_its_text() -> None:
    """Also none that is only reserved: the limit of a helper counts it."""
    before = reserved()
    kept = [documents.as_json(b"\\" * 2**22) for _ in range(7)]
    assert reserved() - before < sum(map(len, kept)) + 2**24


def reserved() -> int:
    """Bytes of private memory of this process, used or not."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()

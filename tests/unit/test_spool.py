"""Records of a long manifest are kept in a file without a name; they come back as they were, whatever the disk does."""

import errno
import gc
import os
import tracemalloc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestd.format.entry import Entry
from ingestd.format.fields import Limits
from ingestd.format.manifest import ManifestBuilder
from ingestd.format.manifest_parser import parse_parts
from ingestd.format.records import Block, encode_record
from ingestd.mount.spool import Spool
from support.hostile_entries import many_members

MIB = 2**20
BLOCKS = [bytes([number]) * (1000 + number) for number in range(50)]


@contextmanager
def traced() -> Iterator[list[int]]:
    """The most bytes that were allocated at a time during the block; known at its end."""
    peak = [0]
    tracemalloc.start()
    try:
        yield peak
        peak[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_is_kept_comes_back_in_any_order() -> None:
    kept = [Spool(10_000).keep(block) for block in BLOCKS]
    one = Spool(10_000)
    kept += [one.keep(block) for block in BLOCKS]
    assert [read() for read in reversed(kept)] == [*reversed(BLOCKS), *reversed(BLOCKS)]
    assert kept[-1]() == BLOCKS[-1]


def test_the_file_has_no_name_and_ends_with_its_last_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = open_files()
    kept = [Spool(0).keep(b"x" * 100)]
    assert open_files() == before + 1
    assert list(tmp_path.iterdir()) == []
    assert kept[0]() == b"x" * 100
    kept.clear()
    gc.collect()
    assert open_files() == before


def test_short_writes_and_reads_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:7], at))
    monkeypatch.setattr(os, "pread", lambda fd, count, at: read(fd, min(count, 11), at))
    one = Spool(0)
    assert [read() for read in [one.keep(block) for block in BLOCKS]] == BLOCKS


@pytest.mark.parametrize("writes", [0, 3])
def test_without_room_on_the_disk_everything_stays_in_memory(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    left, write = [writes], os.pwrite

    def full(fd: int, data: Any, at: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "no space left")
        return write(fd, data[:500], at)

    monkeypatch.setattr(os, "pwrite", full)
    one = Spool(0)
    assert [read() for read in [one.keep(block) for block in BLOCKS]] == BLOCKS


def test_without_a_folder_for_the_file_everything_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_options: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "no usable temporary folder")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    one = Spool(0)
    assert [read() for read in [one.keep(block) for block in BLOCKS]] == BLOCKS


def test_a_long_manifest_needs_little_memory() -> None:
    builder = ManifestBuilder(Spool(MIB).keep)
    store = builder._records["items"]
    records = [encode_record(Entry(number, "photo", f"{number:032x}", "0" * 64)) for number in range(4)]
    data = b"".join(record.ljust(2**16, b"\xc0") for record in records)
    ends = array("I", range(2**16, 2**18 + 1, 2**16)).tobytes()
    with traced() as peak:
        for _ in range(80):
            builder.add(Block("items", data[:-1] + b"\xc0", ends))
        assert {len(store._record(ordinal)) for ordinal in range(len(store))} == {2**16}
    assert peak[0] < 3 * MIB


def test_many_galleries_need_the_memory_of_one() -> None:
    size = MIB // 2
    gallery = many_members(size)
    start, end = gallery.index(b'{"type": "gallery"'), gallery.rindex(b"]}")
    several = [gallery[start:end].replace(b"a" * 32, b"%032x" % number) for number in range(8)]
    data = gallery[:start] + b",".join(several) + gallery[end:]
    builder = ManifestBuilder(Spool(0).keep)
    for part in parse_parts(data, None, Limits()):
        builder.add(part)
    manifest = builder.build("")
    del data, several, gallery
    gc.collect()
    with traced() as peak:
        assert [bool(container.problem) for container in manifest.containers()] == [False] * 8
    assert peak[0] < 8 * size

"""Names of a folder in blocks: what is found without a look at each name is what a look at each finds."""

import os
import random
import uuid
from pathlib import Path

import pytest

from ingestd.mount import name_blocks, sync_folder, wire
from ingestd.mount.name_blocks import JSON, READY
from ingestd.mount.records import split_ids

ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"
ODD = [
    "x", "a.json", "readme.ready", f"{ID.upper()}.ready", f"{ID}.READY", f"{ID}_ready", f"{ID}.ready.tmp",
    f"{ID}.json~", f"x{ID}.ready", f"x{ID}.json", f"{ID}x.json", f"{ID[:-1]}.ready", f"{ID[:-1]}g.ready",
    f"{ID[:-1]}\n.ready",
    f"{ID.replace('-', '0')}.ready", f"{ID}..ready", "." * 40, f"{ID}.ready1", "e\u0301" * 12, "-" * 36 + ".ready",
]  # fmt: skip


def make(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).touch()


def listed(root: Path, awaited: tuple[str, ...] = ()) -> tuple[list[str], list[str], list[str], int]:
    """Sentinels, invalid names and awaited manifests of a listing, sorted, and the number of names."""
    sent: list[wire.ListingPart | wire.Failure] = []
    sync_folder.list_sentinels(str(root), sent.append, awaited)
    parts = [part for part in sent if isinstance(part, wire.ListingPart)]
    assert len(parts) == len(sent)
    found = split_ids(b"".join(part.ids for part in parts))
    invalid = [name for part in parts for name in part.invalid_names]
    manifests = [name for part in parts for name in part.manifests]
    return sorted(found), sorted(invalid), sorted(manifests), sum(part.name_count for part in parts)


def listed_one_by_one(root: Path, awaited: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> object:
    with monkeypatch.context() as patched:
        patched.setattr(sync_folder, "plain_ids", lambda *_: None)
        return listed(root, awaited)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sync").mkdir()
    return tmp_path


def bundles(count: int) -> list[str]:
    return [f"{sync_id}{suffix}" for sync_id in (uuid.uuid4() for _ in range(count)) for suffix in (".ready", ".json")]


def test_many_bundles_are_found_without_a_look_at_each_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = bundles(6000)
    make(root / "sync", names)
    monkeypatch.setattr(sync_folder, "names", lambda _block: pytest.fail("a look at each name"))
    awaited = (names[0].removesuffix(".ready"), ID)
    ids = sorted(name.removesuffix(".ready") for name in names if name.endswith(".ready"))
    assert listed(root, awaited) == (ids, [], [awaited[0]], len(names))


@pytest.mark.parametrize("odd", ODD)
def test_other_names_are_found_among_them(root: Path, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    names = [*bundles(5), odd]
    make(root / "sync", names)
    found = listed(root, (ID,))
    assert found == listed_one_by_one(root, (ID,), monkeypatch)
    assert found[3] == len(names)
    assert len(found[0]) == 5


def test_names_in_any_mixture_are_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(11)
    monkeypatch.setattr(name_blocks, "BLOCK_BYTES", 512)
    for _ in range(30):
        names = [*bundles(dice.randrange(40)), *dice.sample(ODD, dice.randrange(4))]
        make(root / "sync", names)
        awaited = (*(name[:36] for name in dice.sample(names, len(names) // 3)), ID)
        assert listed(root, awaited) == listed_one_by_one(root, awaited, monkeypatch)
        assert listed(root)[3] == len(names)
        for name in names:
            (root / "sync" / name).unlink()


def test_names_of_a_block_are_those_of_the_folder(root: Path) -> None:
    names = [*bundles(20), *ODD]
    make(root / "sync", names)
    folder = os.open(root / "sync", os.O_RDONLY)
    try:
        found = [name for block in name_blocks.blocks(folder) for name in name_blocks.names(block)]
    finally:
        os.close(folder)
    assert sorted(found) == sorted(map(os.fsencode, names))


def test_a_block_of_manifests_alone_has_no_sentinel(root: Path) -> None:
    make(root / "sync", [f"{ID}.json"])
    folder = os.open(root / "sync", os.O_RDONLY)
    try:
        block = b"".join(name_blocks.blocks(folder))
    finally:
        os.close(folder)
    assert (name_blocks.plain_ids(block, READY), name_blocks.plain_ids(block, JSON)) == (b"", ID.encode())


def test_a_folder_that_cannot_be_listed_is_an_error(root: Path) -> None:
    (root / "file").touch()
    file = os.open(root / "file", os.O_RDONLY)
    try:
        with pytest.raises(NotADirectoryError):
            list(name_blocks.blocks(file))
    finally:
        os.close(file)

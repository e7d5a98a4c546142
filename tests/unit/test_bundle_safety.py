"""A bundle is handed over whole or not at all, and what cannot be made is refused in plain words."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import BundleError
from ingestd.make import bundle as make
from ingestd.make.bundle import make_bundle
from support.manifests import SYNC_ID
from support.media import Place, image


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "media").mkdir()
    return Place(tmp_path / "media", tmp_path / "root")


# Order of writing


def test_the_manifest_comes_last_and_the_sentinel_after_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hash_ = place.put("a.jpg", image())
    appeared: list[str] = []
    real_replace, real_fsync = Path.replace, os.fsync
    synced: list[str] = []

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real_fsync(fd)

    def replace(self: Path, target: Path) -> Path:
        assert synced[-1] == str(self), "its content is on disk before its name is"
        before = place.files()
        done = real_replace(self, target)
        appeared.extend(sorted(set(place.files()) - set(before)))
        return done

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    made = place.make()
    item = f"photo/{hash_}"
    assert appeared == [
        f"{item}/a.jpg", f"{item}/source/source.json", f"{item}/source/data/photo.manifest.json",
        f"sync/{made.sync_id}.json", f"sync/{made.sync_id}.ready",
    ]  # fmt: skip
    assert synced[-1] == str(place.root / "sync")


@pytest.mark.parametrize("broken", range(5))
def test_cut_short_at_any_write_nothing_is_handed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    place.put("a.jpg", image())
    real_replace, calls = Path.replace, iter(range(10))

    def replace(self: Path, target: Path) -> Path:
        if next(calls) == broken:
            raise OSError(28, "No space left on device")
        return real_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(BundleError, match="No space left on device"):
        place.make(sync_id=SYNC_ID)
    assert f"sync/{SYNC_ID}.ready" not in place.files()
    assert len(place.files()) == broken, "and no half-written file is left behind"


def test_a_file_that_changes_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a.jpg", image())
    real_copy = make._copy

    def changing(file: Any, target: Path) -> None:
        file.path.write_bytes(image(colour=(1, 1, 1)))
        real_copy(file, target)

    monkeypatch.setattr(make, "_copy", changing)
    with pytest.raises(BundleError, match="changed while it was read"):
        place.make()
    assert not (place.root / "sync").exists()


# What is refused


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere is not a folder"):
        make_bundle(tmp_path / "nowhere", tmp_path / "root")


def test_a_folder_without_media(place: Place) -> None:
    place.put("notes.txt", b"")
    place.put(".jpg", b"")
    with pytest.raises(BundleError, match=r"no media files below .*media; .*jpg"):
        place.make()
    assert not place.root.exists()


def test_a_root_that_cannot_be_written(place: Place) -> None:
    place.put("a.jpg", image())
    place.root.write_text("a file")
    with pytest.raises(BundleError, match=r"cannot write .*root/photo/.*: Not a directory; choose"):
        place.make()


def test_a_file_that_cannot_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a.jpg", image())

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    with pytest.raises(BundleError, match=r"cannot read .*a\.jpg: Permission denied"):
        place.make()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"action": "destroy"}, "action"),
        ({"kind": ""}, "type"),
        ({"kind": "\udcff"}, "UTF-8"),
        ({"prior": "latest"}, "prior_sync_id"),
        ({"sync_id": "../../x"}, "sync_id"),
        ({"gallery": "two\nlines"}, "containers"),
    ],
)
def test_options_that_no_manifest_can_have(place: Place, options: dict[str, Any], word: str) -> None:
    place.put("a.jpg", image())
    with pytest.raises(BundleError, match=word):
        place.make(**options)
    assert not place.root.exists()

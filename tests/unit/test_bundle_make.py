"""Bundles made from folders of media files: valid, complete, and at ease with hostile names."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from ingestd.errors import BundleError
from ingestd.make.bundle import make_bundle
from support.manifests import PRIOR, SYNC_ID
from support.media import Place, image


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "media").mkdir()
    return Place(tmp_path / "media", tmp_path / "root")


def test_a_bundle_holds_every_media_file_once(place: Place) -> None:
    first = place.put("b.JPG", image())
    second = place.put("deep/er/a.png", image("PNG"))
    video = place.put("clip.mov", b"moving")
    place.put("copy of b.jpeg", image())
    place.put("notes.txt", b"no media")
    made = place.make()
    assert (made.items, made.skipped, made.duplicates) == (3, 1, 1)
    assert made.bytes == len(image()) + len(image("PNG")) + len(b"moving")
    entries = {entry.asset_hash: entry for entry in place.manifest(made).entries()}
    assert {hash_: entry.asset_type for hash_, entry in entries.items()} == {
        first: "photo", second: "photo", video: "video",
    }  # fmt: skip
    assert entries[second].title == "a"
    assert entries[second].path == f"photo/{second}"
    [original] = entries[second].files
    assert (original.variant, original.path, original.bytes) == ("original", "a.png", len(image("PNG")))
    assert original.sha256 == hashlib.sha256(image("PNG")).hexdigest()


def test_the_bundle_can_be_handed_over(place: Place) -> None:
    place.put("a.jpg", image())
    made = place.make(sync_id=SYNC_ID, kind="event", action="update", prior=PRIOR)
    assert made.manifest == place.root / "sync" / f"{SYNC_ID}.json"
    assert (place.root / "sync" / f"{SYNC_ID}.ready").read_bytes() == b""
    manifest = place.manifest(made)
    assert (manifest.type, manifest.action, manifest.prior_sync_id) == ("event", "update", PRIOR)
    assert manifest.created_at <= manifest.completed_at
    assert manifest.summary["completed_at"].endswith("Z")


def test_two_bundles_never_share_a_sync_id(place: Place) -> None:
    place.put("a.jpg", image())
    assert place.make().sync_id != place.make().sync_id


def test_provenance_is_kept(place: Place) -> None:
    hash_ = place.put("deep/a.jpg", image())
    os.utime(place.media / "deep/a.jpg", (0, 1.5))
    place.make()
    source = place.document(f"photo/{hash_}", "source.json")
    assert source["file_name"] == "a.jpg"
    assert source["relative_path"] == "deep/a.jpg"
    assert source["modified_at"] == "1970-01-01T00:00:01.500000Z"
    assert source["bytes"] == len(image())
    assert source["sha256"].startswith(hash_)
    assert source["tool"] == "ingestd bundle make"
    assert source["tool_version"]


def test_metadata_of_an_image(place: Place) -> None:
    hash_ = place.put("a.jpg", image())
    place.make()
    known = place.document(f"photo/{hash_}", "data/photo.manifest.json")
    assert (known["format"], known["width"], known["height"], known["mode"]) == ("JPEG", 40, 30, "RGB")
    assert (known["mime"], known["bytes"]) == ("image/jpeg", len(image()))
    assert known["exif"] == {
        "Make": "Maker", "Orientation": 6, "DateTimeOriginal": "2026:04:12 21:35:35", "ExposureTime": 0.004,
    }  # fmt: skip


def test_metadata_of_a_video(place: Place) -> None:
    hash_ = place.put("a.webm", b"moving")
    place.make()
    assert place.document(f"video/{hash_}", "data/photo.manifest.json") == {"bytes": 6, "mime": "video/webm"}


@pytest.mark.parametrize("content", [b"", b"no image", image()[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a\0\0"])
def test_an_unreadable_image_is_still_an_item(place: Place, content: bytes) -> None:
    hash_ = place.put("a.gif", content)
    made = place.make()
    place.manifest(made)
    known = place.document(f"photo/{hash_}", "data/photo.manifest.json")
    assert (known["mime"], known["bytes"]) == ("image/gif", len(content))
    assert "width" not in known


def test_damaged_exif_takes_nothing_else_along(place: Place) -> None:
    content = image().replace(b"Exif\0\0MM\0*", b"Exif\0\0MM\0\xff").replace(b"Exif\0\0II*\0", b"Exif\0\0II\xff\0")
    assert content != image()
    hash_ = place.put("a.jpg", content)
    place.make()
    assert place.document(f"photo/{hash_}", "data/photo.manifest.json")["width"] == 40


def test_a_gallery_of_all_items(place: Place) -> None:
    hashes = [place.put("a.jpg", image()), place.put("b.mp4", b"moving")]
    made = place.make(gallery="Dawn set", sync_id=SYNC_ID)
    [gallery] = place.manifest(made).containers()
    assert (gallery.type, gallery.title, gallery.complete) == ("gallery", "Dawn set", True)
    assert gallery.members == tuple(hashes)
    [again] = place.manifest(place.make(gallery="Other", sync_id=SYNC_ID)).containers()
    [other] = place.manifest(place.make(gallery="Dawn set", sync_id=PRIOR)).containers()
    assert again.hash == gallery.hash != other.hash


def test_removal_names_items_and_copies_nothing(place: Place) -> None:
    hash_ = place.put("a.jpg", image())
    made = place.make(action="remove")
    assert json.loads(made.manifest.read_bytes())["items"] == [{"type": "photo", "hash": hash_}]
    assert place.manifest(made).action == "remove"
    assert place.files() == [f"sync/{made.sync_id}.json", f"sync/{made.sync_id}.ready"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("plain name (1).jpg", "plain name (1).jpg"),
        ("\u00c4\U0001f600.jpg", "\u00c4\U0001f600.jpg"),
        ("-rf ..;$(x).jpg", "-rf ..;$(x).jpg"),
        ("line\nbreak.jpg", "original.jpg"),
        ("bell\a.JPG", "original.jpg"),
        ("gpj.\u202eexe.jpg", "original.jpg"),
        ("next\u0085line.jpg", "original.jpg"),
        (b"latin-\xe9.jpg", "original.jpg"),
        ("x" * 251 + ".jpg", "x" * 251 + ".jpg"),
    ],
)
def test_hostile_file_names(place: Place, name: str | bytes, kept: str) -> None:
    hash_ = place.put(name, image())
    [entry] = place.manifest(place.make()).entries()
    assert entry.files[0].path == kept
    assert entry.title
    assert entry.title.isprintable()
    assert (place.root / "photo" / hash_ / kept).read_bytes() == image()
    assert place.document(f"photo/{hash_}", "source.json")["file_name"]


def test_links_are_left_alone(place: Place, tmp_path: Path) -> None:
    place.put("a.jpg", image())
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (place.media / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (place.media / "folder").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(place.media / "fifo.jpg")
    made = place.make()
    assert (made.items, made.skipped) == (1, 2)


def test_a_root_inside_the_folder_is_not_taken_for_media(place: Place) -> None:
    place.put("a.jpg", image())
    inside = Place(place.media, place.media / "bundles")
    assert inside.make().items == inside.make().items == 1
    with pytest.raises(BundleError, match="choose another folder"):
        make_bundle(place.media, place.media)


def test_progress_is_reported(place: Place) -> None:
    for number in range(3):
        place.put(f"{number}.mp4", b"%d" % number)
    progress: list[tuple[int, int]] = []
    place.make(on_progress=lambda done, total: progress.append((done, total)))
    assert progress == [(1, 3), (2, 3), (3, 3)]

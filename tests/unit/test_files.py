"""Reading below the mount root, on real folders: no way out, nothing that blocks, nothing that is lost unseen."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ingestd.format.entry import File
from ingestd.format.fields import BadEntry, Limits
from ingestd.model import Reason
from ingestd.mount import helper, manifests, paths, sync_folder, wire
from ingestd.mount.mount_ids import unique_mount_id
from support.items import CONTENT, ORIGINAL, SHA256, Root, Verify, item_root

SYNC_ID = "a09117d8-8013-4a85-8c57-b2ccdb3d36f6"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with item_root(tmp_path / "root") as made:
        yield made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder outside the root, laid out like an item."""
    folder = tmp_path / "outside"
    (folder / "source/data").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(CONTENT)
    (folder / "source/source.json").write_text("{}")
    return folder


# Files


@pytest.mark.parametrize("verify", ["none", "size", "sha256"])
def test_a_file_as_promised(root: Root, verify: Verify) -> None:
    reading = root.read(ORIGINAL, verify=verify)
    assert (reading.ordinal, reading.problem, reading.transient) == (5, None, False)
    assert root.bytes_read == (len(CONTENT) if verify == "sha256" else 0)


def test_a_file_of_another_size(root: Root) -> None:
    (root.item / "a.jpg").write_bytes(CONTENT + b"!")
    assert root.read(ORIGINAL).reason is Reason.FILE_SIZE_MISMATCH
    assert root.read(ORIGINAL, verify="none").problem is None
    assert root.read(File("original", "a.jpg")).problem is None


def test_a_file_of_other_content(root: Root) -> None:
    (root.item / "a.jpg").write_bytes(CONTENT[::-1])
    assert root.read(ORIGINAL).problem is None
    reading = root.read(ORIGINAL, verify="sha256")
    assert reading.reason is Reason.FILE_HASH_MISMATCH
    assert SHA256 in str(reading.problem)


def test_missing_files_and_folders(root: Root) -> None:
    assert root.read(File("original", "b.jpg")).reason is Reason.FILE_MISSING
    assert root.read(File("original", "b/c.jpg")).reason is Reason.FILE_MISSING
    assert root.read(File("original", "a.jpg/c.jpg")).reason is Reason.FILE_MISSING
    assert root.read(ORIGINAL, path="photo/two").reason is Reason.FILE_MISSING
    assert root.read(path="photo/two").problem is None


def test_a_folder_or_a_fifo_is_not_a_file(root: Root) -> None:
    os.mkfifo(root.item / "fifo")
    for name in ("source", "fifo"):
        assert root.read(File("original", name), verify="sha256").reason is Reason.FILE_MISSING


def test_a_name_too_long_for_the_file_system_is_the_items_fault(root: Root) -> None:
    reading = root.read(File("original", "x" * 300))
    assert (reading.reason, reading.transient) == (Reason.FILE_UNREADABLE, False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_temporary_errors_are_distinguished(root: Root, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def failing(_fd: int, _count: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "read", failing)
    reading = root.read(ORIGINAL, verify="sha256")
    assert (reading.reason, reading.transient) == (Reason.FILE_UNREADABLE, True)


# No way out


@pytest.mark.parametrize("path", ["..", "../outside", "photo/../../outside", "/etc", "a\0b", "a\nb", "", "photo//one"])
def test_paths_that_are_not_plain_are_refused(root: Root, outside: Path, path: str) -> None:
    assert root.read(ORIGINAL, path=path).reason is Reason.PATH_OUTSIDE_ROOT
    assert root.read(File("original", path)).reason is Reason.PATH_OUTSIDE_ROOT


@pytest.mark.parametrize("link", ["photo", "photo/one", "photo/one/a.jpg"])
def test_a_link_at_any_level_of_a_file_is_refused(root: Root, outside: Path, link: str) -> None:
    place = root.path / link
    place.rename(outside / "moved")
    place.symlink_to(outside / "moved")
    assert root.read(ORIGINAL).reason is Reason.PATH_OUTSIDE_ROOT


@pytest.mark.parametrize("link", ["source", "source/source.json", "source/data", "source/data/photo.meaning.json"])
def test_a_link_at_any_level_of_a_document_is_refused(root: Root, outside: Path, link: str) -> None:
    place = root.item / link
    if place.is_dir():
        place.rename(outside / "moved")
    place.symlink_to(outside / "source/source.json" if place.suffix else outside / "moved")
    assert root.read().reason is Reason.PATH_OUTSIDE_ROOT


def test_links_that_stay_inside_or_lead_nowhere_are_refused_too(root: Root) -> None:
    (root.item / "b.jpg").symlink_to("a.jpg")
    (root.item / "c.jpg").symlink_to("nowhere")
    for name in ("b.jpg", "c.jpg"):
        assert root.read(File("original", name)).reason is Reason.PATH_OUTSIDE_ROOT


def test_a_link_whose_name_is_not_utf8_is_reported(root: Root) -> None:
    os.symlink(b"nowhere", os.fsencode(root.data) + b"/\xff.json")
    reading = root.read()
    assert reading.reason is Reason.PATH_OUTSIDE_ROOT
    assert r"\xff.json" in str(reading.problem)


def test_a_folder_swapped_for_a_link_on_the_way_leads_nowhere(
    root: Root, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap comes right before the last component is opened, after every check of what leads there."""
    (outside / "a.jpg").write_bytes(b"secret")
    real_open = os.open

    def swapping(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "a.jpg" and root.item.is_dir() and not root.item.is_symlink():
            root.item.rename(root.path / "aside")
            root.item.symlink_to(outside)
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    reading = root.read(ORIGINAL, verify="sha256")
    assert root.item.is_symlink()
    assert (reading.problem, root.bytes_read) == (None, len(CONTENT))


def test_a_file_swapped_for_a_link_between_listing_and_reading(
    root: Root, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = root.data / "photo.meaning.json"
    document.write_text("{}")
    real_scandir = os.scandir

    def swapping(folder: Any) -> Any:
        found = list(real_scandir(folder))
        document.unlink()
        document.symlink_to(outside / "source/source.json")
        return nullcontext(found)

    monkeypatch.setattr(os, "scandir", swapping)
    assert root.read().reason is Reason.PATH_OUTSIDE_ROOT


def test_descriptors_are_closed_whatever_happens(root: Root) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a.jpg", "b.jpg", "source/data/x/y", "../x", "a.jpg/x"):
        root.read(File("original", path), verify="sha256")
    with pytest.raises(BadEntry), paths.open_in_root(str(root.path), "..", paths.OPEN_FILE):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


# Manifests and sentinels


def manifest(root: Root, limit: int = 100) -> list[wire.Reply]:
    """All replies to a request for the manifest."""
    (root.path / f"sync/{SYNC_ID}.ready").touch()
    return replies(root, limit)


def replies(root: Root, limit: int = 100, known_sha256: str | None = None) -> list[wire.Reply]:
    sent: list[wire.Reply] = []
    request = wire.ReadManifest(str(root.path), SYNC_ID, limit, Limits(), known_sha256)
    manifests.send_manifest(request, sent.append, lambda: None)
    return sent


def test_a_manifest_is_read_up_to_its_limit(root: Root) -> None:
    (root.path / f"sync/{SYNC_ID}.json").write_bytes(b"x" * 100)
    digest = hashlib.sha256(b"x" * 100).hexdigest()
    head, problem = manifest(root)
    assert head == wire.ManifestHead(digest, 100, is_unchanged=False, mount_id=unique_mount_id(root.fd))
    assert isinstance(problem, wire.ManifestProblems)
    assert problem.basis == "absence"
    assert replies(root, known_sha256=digest) == [
        wire.ManifestHead(digest, 100, is_unchanged=True, mount_id=unique_mount_id(root.fd))
    ]
    [too_large] = manifest(root, 99)
    assert isinstance(too_large, wire.ManifestProblems)
    assert too_large.basis == "setting"


def test_a_manifest_that_is_missing(root: Root) -> None:
    assert "No such file" in problem(*manifest(root))


def test_a_manifest_without_its_sentinel_is_not_looked_at(root: Root) -> None:
    (root.path / f"sync/{SYNC_ID}.json").write_bytes(b"x")
    [failure] = replies(root)
    assert isinstance(failure, wire.Failure)
    assert failure.no_sentinel


def test_a_manifest_that_is_not_a_regular_file(root: Root, outside: Path) -> None:
    place = root.path / f"sync/{SYNC_ID}.json"
    os.mkfifo(place)
    assert "not a regular file" in problem(*manifest(root))
    place.unlink()
    place.symlink_to(outside / "source/source.json")
    assert "symbolic link" in problem(*manifest(root))


def test_a_linked_sync_folder_is_refused_by_both(root: Root, outside: Path) -> None:
    (outside / f"{SYNC_ID}.ready").touch()
    (root.path / "sync").rmdir()
    (root.path / "sync").symlink_to(outside)
    assert "symbolic link" in problem(*manifest(root))
    assert "symbolic link" in problem(*listed(root.path))


def test_only_real_sentinels_are_listed(root: Root) -> None:
    for name in (SYNC_ID, SYNC_ID.upper(), "x", "", f"{SYNC_ID}.ready"):
        (root.path / f"sync/{name}.ready").touch()
    (root.path / f"sync/{SYNC_ID}.json").touch()
    Path(os.fsdecode(os.fsencode(root.path) + b"/sync/\xff.ready")).touch()
    listing, last = listed(root.path)
    assert isinstance(listing, wire.ListingPart)
    assert last == wire.ListingPart(is_last=True)
    assert listing.ids == SYNC_ID.encode()
    assert sorted(listing.invalid_names) == sorted(
        [f"{SYNC_ID.upper()}.ready", "x.ready", ".ready", f"{SYNC_ID}.ready.ready", r"\xff.ready"]
    )


@pytest.mark.parametrize(
    "name",
    [f"{SYNC_ID}{end}" for end in (".READY", ".ready.txt", " .ready", "_ready")] + [f"{SYNC_ID.upper()}.Ready"],
)
def test_a_name_that_looks_like_a_sentinel_is_listed_as_invalid(root: Root, name: str) -> None:
    for foreign in (f"{SYNC_ID}.json", f"{SYNC_ID}.readme.txt", f"{SYNC_ID}.txt", "readme", "already", "x.READY"):
        (root.path / "sync" / foreign).touch()
    (root.path / "sync" / name).touch()
    listing, _ = listed(root.path)
    assert isinstance(listing, wire.ListingPart)
    assert (listing.ids, listing.invalid_names) == (b"", [name])


def test_a_root_that_is_not_a_folder(root: Root) -> None:
    assert isinstance(helper.inspect_root(str(root.path)), wire.RootInfo)
    assert "not a folder" in problem(helper.inspect_root(str(root.item / "a.jpg")))
    assert problem(helper.inspect_root(str(root.path / "nowhere")))
    assert problem(*listed(root.path / "nowhere"))


def listed(root: Path) -> list[wire.Reply]:
    sent: list[wire.Reply] = []
    sync_folder.list_sentinels(str(root), sent.append)
    return sent


def problem(reply: wire.Reply) -> str:
    assert isinstance(reply, wire.Failure)
    assert wire.decode_reply(wire.encode(reply)) == reply
    return reply.problem

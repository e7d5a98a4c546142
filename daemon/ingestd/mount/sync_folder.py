"""Reading the root and its sync folder, in a mount helper: sentinels and manifests."""

import os
import stat

from ingestd.format.fields import SYNC_ID, BadEntry
from ingestd.mount.paths import OPEN_FILE, OPEN_FOLDER, open_below, open_in_root, printable, read_blocks
from ingestd.mount.records import Listing
from ingestd.mount.wire import Content, Failure, RootInfo


def inspect_root(root: str) -> RootInfo | Failure:
    """The device number of the root."""
    try:
        found = os.stat(root)
    except OSError as error:
        return Failure(f"{root}: {error.strerror}")
    return RootInfo(found.st_dev) if stat.S_ISDIR(found.st_mode) else Failure(f"{root} is not a folder")


def list_sentinels(root: str) -> Listing | Failure:
    """One listing of names, without a stat of any file."""
    sync_ids: list[str] = []
    invalid_names: list[str] = []
    try:
        with open_in_root(root, "sync", OPEN_FOLDER) as folder:
            names = os.listdir(folder)
    except BadEntry as bad:
        return Failure(f"{root}: {bad.problem}")
    except OSError as error:
        return Failure(f"{root}/sync: {error.strerror}")
    for stem in (name.removesuffix(".ready") for name in names if name.endswith(".ready")):
        (sync_ids if SYNC_ID.fullmatch(stem) else invalid_names).append(stem)
    return Listing(sync_ids, list(map(printable, invalid_names)))


def read_manifest(root: str, sync_id: str, max_bytes: int) -> Content | Failure:
    """The manifest of a bundle. Without its sentinel the bundle is not handed over, and the manifest is not opened."""
    name = f"{sync_id}.json"
    try:
        with open_in_root(root, "sync", OPEN_FOLDER) as folder:
            if not _exists(folder, f"{sync_id}.ready"):
                return Failure(f"sync/{sync_id}.ready, the sentinel, does not exist", no_sentinel=True)
            with open_below(folder, name, OPEN_FILE) as fd:
                return _read_whole(fd, name, max_bytes)
    except BadEntry as bad:
        return Failure(bad.problem)
    except OSError as error:
        return Failure(f"sync/{name}: {error.strerror}")


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _read_whole(fd: int, name: str, max_bytes: int) -> Content | Failure:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return Failure(f"{name} is not a regular file")
    if os.fstat(fd).st_size > max_bytes:
        return Failure(f"{name} has {os.fstat(fd).st_size} bytes, more than {max_bytes}", too_large=True)
    data = b"".join(read_blocks(fd, max_bytes + 1))
    if len(data) > max_bytes:
        return Failure(f"{name} has more than {max_bytes} bytes", too_large=True)
    return Content(data)

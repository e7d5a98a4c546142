"""What may be in the way of reading a bundle after its job was queued: each trouble returns what ends it."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from ingestd.mount import reader
from ingestd.mount.records import ManifestReading
from ingestd.pipeline import ahead, unsettled
from ingestd.pipeline.context import Context
from ingestd.pipeline.importer import grace
from support.faulty_fuse import FaultyFuse
from support.world import World, cover, photo

LATE = 600.0
"""Who waited for what cannot be read would wait this long."""
Trouble = Callable[[World, FaultyFuse, str], Callable[[], object]]


def make_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has jobs that are set aside tried again soon, and bundles read by each run."""
    monkeypatch.setattr(unsettled, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(unsettled, "MAX_PAUSE", 0.2)
    monkeypatch.setattr(grace, "IN_WORKER_SECONDS", 0.05)
    monkeypatch.setattr(grace, "WHOLE_SECONDS", 0.0)
    monkeypatch.setattr(reader, "MAX_PAUSE", 0.1)
    # What is out of order here was in order when the bundle was recorded: each run reads for itself.
    monkeypatch.setattr(ahead, "MAX_AGE", -1.0)


def make_context(world: World, faulty: FaultyFuse, settle_seconds: float) -> Context:
    return world.context(mount={"root": str(faulty.point), "settle_seconds": settle_seconds})


def bundle(world: World, name: str) -> str:
    """Two items and a cover, each with a document and a file."""
    sync_id = world.put(photo(name), photo(f"{name} too"), cover(f"{name}'s cover", name))
    for path in (photo(name)["path"], photo(f"{name} too")["path"]):
        world.file(f"{path}/source/source.json", b"{}")
    return sync_id


def cut_short(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    return lambda: path.write_bytes(whole)


def manifest_away(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.json"
    whole = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(whole)


def sentinel_away(world: World, _faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    path = world.root / f"sync/{sync_id}.ready"
    path.unlink()
    return path.touch


def manifest_error(_world: World, faulty: FaultyFuse, sync_id: str) -> Callable[[], object]:
    faulty.fail(f"sync/{sync_id}.json")
    return faulty.clear


def document_error(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source/source.json")
    return faulty.clear


def document_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source/source.json", errno.EACCES, "open")
    return faulty.clear


def file_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/0.jpg", errno.EPERM, "lookup")
    return faulty.clear


def folder_without_rights(_world: World, faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    faulty.fail(f"{photo('b')['path']}/source", errno.EACCES, "lookup")
    return faulty.clear


def file_not_listed_yet(world: World, _faulty: FaultyFuse, _sync_id: str) -> Callable[[], object]:
    path = world.root / photo("b")["path"] / "0.jpg"
    whole = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(whole)


OF_ITEMS = (document_error, file_not_listed_yet, document_without_rights, file_without_rights, folder_without_rights)
TROUBLES = [cut_short, manifest_away, sentinel_away, manifest_error, *OF_ITEMS]


class Looks:
    """Counts how often a context reads manifests."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self._real = context.mount.read_manifest
        context.mount.read_manifest = self._noting  # type: ignore[method-assign]

    def _noting(self, *arguments: Any, **options: Any) -> ManifestReading:
        self.count += 1
        return self._real(*arguments, **options)

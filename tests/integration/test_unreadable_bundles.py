"""Bundles whose files exist and cannot be read: waited for and reported, and noticed soon once they can be."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.mount import requests
from ingestd.pipeline.rotation import Compared, Rotation
from ingestd.pipeline.scanner import Scanner
from support.faulty_fuse import faulty_fuse
from support.scanning import SETTLE, Clock, last_error, recorded
from support.world import World, photo

RESCAN = 60.0


@pytest.fixture(autouse=True)
def _no_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with very many known manifests, of which each has its turn after hours."""
    monkeypatch.setattr(Rotation, "compare_next", lambda *_: Compared(0, set(), 0.0))


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_a_file(path: Path) -> None:
    path.with_name("another").write_bytes(b"")
    path.symlink_to("another")


def replace(path: Path, make: Callable[[Path], None]) -> Callable[[], object]:
    """Puts something else in the place of a file; returns a function that puts the file back."""
    content = path.read_bytes()
    path.unlink()
    make(path)

    def put_back() -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(content)

    return put_back


@pytest.mark.parametrize("suffix", ["ready", "json"])
@pytest.mark.parametrize("make", [folder, pipe, dangling_link, link_to_a_file])
def test_what_is_not_a_regular_file_hands_nothing_over(
    world: World, clock: Clock, make: Callable[[Path], None], suffix: str
) -> None:
    scanner = Scanner(world.context())
    sync_id = world.put(photo("a"))
    put_back = replace(world.root / "sync" / f"{sync_id}.{suffix}", make)
    assert scanner.scan() == []
    assert (recorded(world), scanner.unrecorded) == ([], 1), "it is waited for"
    clock.now += SETTLE
    assert scanner.scan() == [sync_id]
    assert world.status(sync_id) == "invalid"
    assert "is not a regular file" in last_error(world, sync_id) or "symbolic link" in last_error(world, sync_id)
    for _ in range(10):
        clock.now += 1000.0
        assert scanner.scan() == []
    put_back()
    clock.now += RESCAN
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]
    assert world.sql("SELECT last_error, invalid_basis FROM ingest_batch") == [(None, None)]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EIO])
@pytest.mark.parametrize(("suffix", "step"), [("json", "open"), ("json", "read"), ("ready", "lookup")])
def test_a_bundle_that_can_be_read_again_is_noticed_within_a_scan(
    world: World, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, suffix: str, step: str
) -> None:
    monkeypatch.setattr(requests, "LISTED_SECONDS", -1.0)  # or no sentinel would be looked up
    with faulty_fuse(world.root, tmp_path / "mnt") as faulty:
        scanner = Scanner(world.context(mount={"root": faulty.point}))
        sync_id = world.put(photo("a"))
        faulty.fail(f"sync/{sync_id}.{suffix}", error, step)  # type: ignore[arg-type]
        scanner.scan()
        clock.now += SETTLE
        scanner.scan()
        assert world.status(sync_id) == "invalid"
        assert os.strerror(error) in last_error(world, sync_id)
        for _ in range(10):
            clock.now += 1000.0
            scanner.scan()
        faulty.clear()
        clock.now += RESCAN
        scanner.run_once()
        assert recorded(world) == [(sync_id, "new")]

"""The real daemon on a FUSE mount with single paths that hang, fail or are slow: every other bundle is imported."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.faulty_fuse import FaultyFuse
from support.process import Process, daemons_of
from support.scale import IS_SOAK
from support.wait import until
from support.world import World, new_sync_id, photo

MAX_SECONDS = 5.0
DOCUMENT = "source/data/photo.analysis.json"

Cause = Callable[[FaultyFuse, str, str], None]


def bundle(world: World, start: str) -> tuple[str, str]:
    """A bundle of one photo with a document, which is not handed over yet: its sync_id, and the path of the photo."""
    sync_id = f"{start}{new_sync_id()[len(start) :]}"
    item = photo(sync_id)
    world.file(f"{item['path']}/{DOCUMENT}", b'{"a": 1}')
    return world.put(item, sync_id=sync_id, ready=False), item["path"]


def hang_manifest(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.hang(f"sync/{sync_id}.json")


def hang_lookup(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.hang(f"sync/{sync_id}.json", "lookup")


def hang_open(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.hang(f"sync/{sync_id}.json", "open")


def hang_sentinel(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.hang(f"sync/{sync_id}.ready", "lookup")


def fail_manifest(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.fail(f"sync/{sync_id}.json", errno.EIO)


def slow_manifest(fs: FaultyFuse, sync_id: str, _path: str) -> None:
    fs.slow(f"sync/{sync_id}.json", 1.0)


def hang_document(fs: FaultyFuse, _sync_id: str, path: str) -> None:
    fs.hang(f"{path}/{DOCUMENT}")


def fail_document(fs: FaultyFuse, _sync_id: str, path: str) -> None:
    fs.fail(f"{path}/{DOCUMENT}", errno.ESTALE)


def hang_file(fs: FaultyFuse, _sync_id: str, path: str) -> None:
    fs.hang(f"{path}/0.jpg", "lookup")


FAULTS = (hang_manifest, hang_document) if not IS_SOAK else (
    hang_manifest, hang_lookup, hang_open, hang_sentinel, fail_manifest, slow_manifest, hang_document, fail_document,
    hang_file,
)  # fmt: skip


@pytest.mark.soak
def test_a_path_that_hangs_or_fails_delays_no_other_bundle(world: World, faulty: FaultyFuse, tmp_path: Path) -> None:
    mount = {"require_mount": True, "poll_interval": 0.1, "root": str(faulty.point)}
    with daemons_of(world, tmp_path) as daemons:
        process = daemons.start(mount=mount, queue={"auto": ["create"]}, worker={"poll_interval": 0.1})
        process.wait_until_started()
        hostile = [deliver_beside_healthy(world, faulty, fault, process) for fault in FAULTS]
        faulty.clear()
        until(lambda: {status(world, sync_id) for sync_id in hostile} == {"imported"}, what=lambda: process.log)


def deliver_beside_healthy(world: World, faulty: FaultyFuse, fault: Cause, process: Process) -> str:
    """Delivers a bundle with a fault, and a healthy one that sorts behind it and must be imported in time."""
    (hostile, path), (healthy, _) = bundle(world, "00000000"), bundle(world, "ffffffff")
    fault(faulty, hostile, path)
    met = len(faulty.met)
    for sync_id in (hostile, healthy):
        world.file(f"sync/{sync_id}.ready", b"")
    began = time.monotonic()
    until(lambda: status(world, healthy) == "imported", what=lambda: f"beside {fault.__name__}: {process.log}")
    assert time.monotonic() - began < MAX_SECONDS, fault.__name__
    until(lambda: len(faulty.met) > met, what=f"for {fault.__name__}")
    return hostile


def status(world: World, sync_id: str) -> str:
    rows = world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
    return str(rows[0][0]) if rows else ""

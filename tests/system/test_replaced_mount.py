"""The real daemon on a real mount, which another file system replaces in the middle of an import."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.missing import give_up
from support.process import Daemons, daemons_of
from support.wait import until
from support.world import World, photo

MANY = 1000
WORKER = {"chunk_items": 5, "poll_interval": 0.1, "threads": 1, "stop_seconds": 5.0}
MOUNT = {"require_mount": True, "watch": "poll", "poll_interval": 0.2, "rescan_interval": 0.5}


def mount(folder: Path, *what: str) -> None:
    """Mounts an empty file system of its own, unless `what` says more; only root can."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", *(what or ("-t", "tmpfs", "tmpfs")), str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        give_up("mounting needs root")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@pytest.fixture
def mounted(world: World, tmp_path: Path) -> Iterator[World]:
    """A world whose root lies on a mount of its own."""
    made = World(world.server, tmp_path / "mnt" / "assets")
    mount(tmp_path / "mnt")
    yield made
    made.close()
    for folder in ("mnt", "mnt", "other"):
        unmount(tmp_path / folder)


def test_a_replaced_mount_fails_no_item_until_it_is_accepted(mounted: World, tmp_path: Path) -> None:
    sync_id = mounted.put(*(photo(str(number)) for number in range(MANY)))
    done = "SELECT COALESCE(SUM(items_done), 0) FROM import_job"
    with daemons_of(mounted, tmp_path) as daemons:
        process = daemons.start(worker=WORKER, mount=MOUNT, queue={"auto": ["create"]})
        until(lambda: mounted.one(done) > 0 or process.has_ended(), what=lambda: process.log)
        mount(tmp_path / "other")
        shutil.copytree(mounted.root / "sync", tmp_path / "other" / "assets" / "sync")
        mount(tmp_path / "mnt", "--bind", str(tmp_path / "other"))
        process.wait_for("event=mount_replaced")
        until(lambda: kinds(mounted, sync_id).count("job_released"), what=lambda: process.log)
        assert mounted.one(done) < MANY, "it was replaced in the middle"
        demand_paused(mounted, daemons, sync_id)
        unmount(tmp_path / "mnt")
        until(lambda: mounted.status(sync_id) == "imported", what=lambda: process.log)
        assert process.terminate(30) == 0
    assert "item_failed" not in kinds(mounted, sync_id)


def demand_paused(world: World, daemons: Daemons, sync_id: str) -> None:
    """Nothing failed, and nothing is claimed again, though the daemon looks at the mount again and again."""
    before = kinds(world, sync_id)
    process = daemons.started[-1][0]
    until(lambda: process.log.count("ingestd mount accept") > 1, what=lambda: process.log)
    assert kinds(world, sync_id) == before
    assert before.count("job_claimed") == before.count("job_released") == 1
    assert "item_failed" not in before


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]

"""Covered and replaced mounts: nothing is read from another file system until somebody accepts it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import MountUnavailable, NotEligible
from ingestd.model import Origin
from ingestd.mount import access
from ingestd.mount.mountinfo import MountPoint, mount_point
from ingestd.pipeline import source_gate
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.pipeline.worker_pool import WorkerPool, is_open
from support.wait import until
from support.world import World, md5, photo

RCLONE = MountPoint(40, "0:40", "/mnt/s3-sync", "fuse.rclone", "s3:bucket")
OTHERS = {
    "the folder below": MountPoint(22, "8:1", "/mnt", "ext4", "/dev/sda1"),
    "another bucket": replace(RCLONE, source="s3:other"),
    "another type": replace(RCLONE, fs_type="fuse.s3fs"),
    "a bind mount": MountPoint(41, "8:1", "/mnt/s3-sync", "ext4", "/dev/sda1[/srv/copy]", "/srv/copy"),
    "memory": MountPoint(42, "0:42", "/mnt/s3-sync", "tmpfs", "tmpfs"),
}


class Mounted:
    """What mountinfo says is mounted at the root; `switch` also changes what can be read there."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.point = RCLONE
        self._world, self._folders = world, {RCLONE: world.root.rename(world.root.with_name("first"))}
        self._show(RCLONE)
        monkeypatch.setattr(access, "mount_point", lambda *_: self.point)

    def _show(self, point: MountPoint) -> None:
        self._world.root.unlink(missing_ok=True)
        self._world.root.symlink_to(self._folders[point])

    def switch(self, point: MountPoint) -> None:
        self.point = point
        if point not in self._folders:
            self._folders[point] = self._world.root.with_name(f"folder{len(self._folders)}")
            (self._folders[point] / "sync").mkdir(parents=True)
        self._show(point)

    def copy_manifests(self, point: MountPoint) -> None:
        """Another file system has the manifests and sentinels, but not the items."""
        self.switch(point)
        for file in (self._folders[RCLONE] / "sync").iterdir():
            (self._world.root / "sync" / file.name).write_bytes(file.read_bytes())


@pytest.fixture
def mounted(world: World, monkeypatch: pytest.MonkeyPatch) -> Mounted:
    return Mounted(world, monkeypatch)


def make_context(world: World, **mount: Any) -> Context:
    mount = {"require_mount": True, "rescan_interval": 0.001, "settle_seconds": 0.001, **mount}
    return world.context(mount=mount, worker={"chunk_items": 2})


def expected(world: World) -> tuple[Any, ...]:
    (row,) = world.sql("SELECT fs_type, source, refused_type, refused_source, refused_reason FROM ingest_mount")
    return row


@pytest.mark.parametrize("other", OTHERS)
def test_a_covered_mount_is_not_taken_for_empty(world: World, mounted: Mounted, other: str) -> None:
    context = make_context(world)
    sync_id = world.put(photo("a"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    mounted.switch(OTHERS[other])
    foreign = world.put(photo("b"))
    for _ in range(2):
        with pytest.raises(MountUnavailable, match=r"none of the recorded bundles.*ingestd mount accept"):
            world.scan(context)
    assert not context.mount.up
    assert "ingestd mount accept" in context.mount.problem
    assert not is_open(context), "something could be claimed"
    assert world.sql("SELECT sync_id FROM ingest_batch") == [(sync_id,)], "something was recorded"
    point = OTHERS[other]
    assert expected(world) == ("fuse.rclone", "s3:bucket", point.fs_type, point.source, "covered")
    with pytest.raises(MountUnavailable, match="none of the recorded bundles"):
        make_context(world).mount.check()
    mounted.switch(RCLONE)
    assert world.scan(context) == []
    assert is_open(context)
    assert expected(world) == ("fuse.rclone", "s3:bucket", None, None, None)
    assert foreign not in str(world.sql("SELECT sync_id FROM ingest_batch"))


def test_an_operator_accepts_it(world: World, mounted: Mounted) -> None:
    context = make_context(world)
    world.put(photo("a"))
    world.scan(context)
    with pytest.raises(NotEligible, match="nothing to accept: fuse"):
        context.gate.accept("olivia")
    mounted.switch(OTHERS["another bucket"])
    foreign = world.put(photo("b"))
    with pytest.raises(MountUnavailable):
        world.scan(context)
    make_context(world).gate.accept("olivia")
    assert world.scan(context) == [foreign]
    (payload,) = world.sql("SELECT payload FROM ingest_event WHERE event_type = %s", "mount_accepted")[0]
    assert json.loads(payload) == {
        "phase": "mount",
        "requested_by": "olivia",
        "from": "fuse.rclone s3:bucket",
        "to": "fuse.rclone s3:other",
    }


@pytest.mark.parametrize("how", ["a bundle in sight", "nothing recorded", "known to another host", "plain folder"])
def test_what_does_not_need_to_be_accepted(world: World, mounted: Mounted, how: str) -> None:
    context = make_context(world, require_mount=how != "plain folder")
    if how != "nothing recorded":
        world.put(photo("a"))
    world.scan(context)
    other = OTHERS["another type"]
    if how == "known to another host":
        world.sql("UPDATE ingest_mount SET host = 'elsewhere', fs_type = %s", other.fs_type)
    mounted.switch(other)
    if how == "a bundle in sight":
        mounted.copy_manifests(other)
    fresh = make_context(world, require_mount=how != "plain folder")
    for each in (fresh, context):
        world.scan(each)
        assert is_open(each)
    assert ("fuse.s3fs", "s3:bucket", None) in world.sql("SELECT fs_type, source, refused_reason FROM ingest_mount")


def test_the_same_mounted_again_goes_on_by_itself(world: World, mounted: Mounted) -> None:
    context = make_context(world)
    world.scan(context)
    again = replace(RCLONE, mount_id=77, device="0:99")
    mounted._folders[again] = mounted._folders[RCLONE]
    mounted.switch(again)
    for each in (context, make_context(world)):
        world.scan(each)
    assert expected(world) == ("fuse.rclone", "s3:bucket", None, None, None)


@pytest.mark.parametrize("point", ["/", "autofs"])
def test_a_placeholder_is_not_a_mount(world: World, mounted: Mounted, point: str) -> None:
    mounted.switch(
        replace(RCLONE, point="/") if point == "/" else replace(RCLONE, fs_type="autofs", source="systemd-1")
    )
    with pytest.raises(MountUnavailable, match="nothing is mounted"):
        make_context(world).mount.check()
    assert not world.sql("SELECT * FROM ingest_mount")


# in the middle of an import


def big(world: World, context: Context) -> str:
    sync_id = world.put(*[photo(str(number)) for number in range(10)])
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    return sync_id


def events(world: World, sync_id: str, kind: str) -> list[dict[str, Any]]:
    return [payload for found, payload in world.events(sync_id) if found == kind]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("require_mount", [True, False])
@pytest.mark.parametrize("midway", [True, False])
def test_a_replaced_mount_fails_no_item(
    world: World, mounted: Mounted, monkeypatch: pytest.MonkeyPatch, other: str, require_mount: bool, midway: bool
) -> None:
    context = make_context(world, require_mount=require_mount)
    sync_id = big(world, context)
    if midway:
        real = access.Mount.read_items

        def replacing(mount: Any, items: Any, *more: Any, **others: Any) -> Iterator[Any]:
            if items[0].ordinal == 4 and mounted.point is RCLONE:
                monkeypatch.undo()
                monkeypatch.setattr(access, "mount_point", lambda *_: mounted.point)
                mounted.copy_manifests(OTHERS[other])
            yield from real(mount, items, *more, **others)

        monkeypatch.setattr(access.Mount, "read_items", replacing)
    else:
        mounted.copy_manifests(OTHERS[other])
        world.scan(context)
    pool = WorkerPool(context, this_instance())
    for _ in range(5):
        pool.claim_and_run(0)
    assert events(world, sync_id, "item_failed") == []
    assert [payload["reason"] for payload in events(world, sync_id, "job_released")] == ["mount_replaced"]
    assert len(events(world, sync_id, "job_claimed")) == 1
    assert world.status(sync_id) == "queued"
    assert not context.mount.up
    with pytest.raises(MountUnavailable, match="lacks what was recorded on the other"):
        make_context(world, require_mount=require_mount).mount.check()
    mounted.switch(RCLONE)
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}


def test_after_it_is_accepted_missing_files_fail(world: World, mounted: Mounted) -> None:
    context = make_context(world)
    sync_id = big(world, context)
    mounted.copy_manifests(OTHERS["another bucket"])
    assert world.run_next(context) == "released"
    make_context(world).gate.accept("olivia")
    until(lambda: is_open(context), what="for the next check of the mount")
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"failed:file_missing"}


def test_a_moved_mount_with_all_files_is_imported(world: World, mounted: Mounted) -> None:
    context = make_context(world)
    sync_id = big(world, context)
    moved = OTHERS["another type"]
    mounted._folders[moved] = mounted._folders[RCLONE]
    mounted.switch(moved)
    assert world.run_next(context) == "done"
    assert set(world.decisions(sync_id).values()) == {"created"}


def test_files_missing_on_the_same_mount_fail(world: World, mounted: Mounted) -> None:
    context = make_context(world)
    sync_id = big(world, context)
    (world.root / f"photo/{md5('3')}/0.jpg").unlink()
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id)[md5("3")] == "failed:file_missing"


def test_bundles_that_came_after_the_change_can_fail(world: World, mounted: Mounted) -> None:
    """Hosts may mount the same in different ways: what this one expected already when the bundle came is good."""
    context = make_context(world)
    world.scan(context)
    sync_id = big(world, context)
    world.sql("UPDATE ingest_batch SET mount_type = 'nfs4', mount_source = 'server:/export', mount_fs_id = ''")
    (world.root / f"photo/{md5('3')}/0.jpg").unlink()
    assert world.run_next(context) == "done"
    assert world.decisions(sync_id)[md5("3")] == "failed:file_missing"


# what is the same


def test_an_id_of_the_file_system_outweighs_the_name_of_the_device() -> None:
    disk = Origin("ext4", "/dev/sdb1", "abc:/")
    assert disk.is_same(Origin("ext4", "/dev/sdc1", "abc:/")), "the device was renamed"
    assert not disk.is_same(Origin("ext4", "/dev/sdb1", "def:/")), "another disk has its name"
    assert not disk.is_same(Origin("ext4", "/dev/sdb1", "abc:/folder")), "another folder of it"
    assert Origin("nfs4", "server:/a").is_same(Origin("nfs4", "server:/a"))
    assert not Origin("nfs4", "server:/a").is_same(Origin("nfs", "server:/a"))


LINES = {
    b"1 0 8:1 / /mnt rw - ext4 /dev/sda1 rw": ("ext4", "/dev/sda1"),
    b"1 0 8:1 /srv/a\\040b /mnt rw shared:1 - ext4 /dev/sda1 rw": ("ext4", "/dev/sda1[/srv/a b]"),
    b"1 0 0:5 / /mnt rw master:2 propagate_from:3 - nfs4 server:/export rw": ("nfs4", "server:/export"),
    b"1 0 0:5 / /mnt rw - fuse.rclone caf\xe9:bucket rw": ("fuse.rclone", "caf\\xe9:bucket"),
    b"1 0 0:5 / /mnt rw - tmpfs  rw": ("tmpfs", ""),
    b"1 0 0:5 / /mnt rw - fuse.x " + b"y" * 5000 + b" rw": ("fuse.x", "y" * 1000),
}


@pytest.mark.parametrize("line", LINES)
def test_sources_are_read_from_mountinfo(line: bytes) -> None:
    found = mount_point(Path("/mnt/assets"), line)
    assert (found.fs_type, found.source) == LINES[line]


def test_names_are_looked_for_in_parts(world: World, mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_gate, "NAMES_PER_QUERY", 2)
    context = make_context(world)
    for number in range(5):
        world.put(photo(str(number)))
    world.scan(context)
    mounted.copy_manifests(OTHERS["another type"])
    assert world.scan(context) == []

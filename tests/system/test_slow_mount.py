"""A mount that needs seconds for each operation is slow: it is neither absent nor silent."""

import time

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount import access, root_notices
from support.faulty_fuse import FaultyFuse
from support.logged import logged_by
from support.reaped import until_reaped
from support.world import World, photo


def test_a_slow_mount_is_not_absent(world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "CHECK_SECONDS", 2.0)
    monkeypatch.setattr(root_notices, "SLOW_CHECK", 1.0)
    logged = logged_by(root_notices, monkeypatch)
    (world.root / "a" / "b" / "c" / "sync").mkdir(parents=True)
    mount = world.context(mount={"root": faulty.point / "a" / "b" / "c"}).mount
    identity = mount.check()
    faulty.pace = 0.55
    assert mount.check() == identity
    assert (mount.up, mount.notices.is_slow) == (True, True)
    faulty.pace = 0.0
    faulty.clear()
    assert mount.check() == identity
    assert [line["event"] for line in logged.lines] == ["mount_slow", "mount_no_longer_slow"]
    faulty.hang("a/b/c/sync", "lookup")
    try:
        with pytest.raises(MountUnavailable, match="does not answer"):
            mount.check()
        assert not mount.up
    finally:
        faulty.clear()
    until_reaped(mount)


@pytest.mark.soak_only
def test_the_deadline_is_about_each_operation(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "CHECK_SECONDS", 2.0)
    sync_id = world.put(photo("a"))
    (world.root / "deep").mkdir()
    (world.root / "sync").rename(world.root / "deep" / "sync")
    mount = world.context(mount={"root": faulty.point / "deep", "deadline": 2.0}).mount
    for path in ("deep", "deep/sync", f"deep/sync/{sync_id}.ready", f"deep/sync/{sync_id}.json"):
        faulty.slow(path, 0.6, "lookup")
    assert mount.check()
    assert mount.list_sentinels()
    start = time.monotonic()
    assert mount.read_manifest(sync_id)
    assert time.monotonic() - start > 2.0, "it took longer than the deadline"

"""The daemon on a real read-only FUSE mount of a real S3 server: found by polling, and never fooled by a bad mount."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestd.app import Daemon
from ingestd.embedded import EmbeddedMariaDB
from ingestd.errors import ManifestUnsettled, MountUnavailable
from ingestd.mount import helper_pool
from ingestd.mount.access import Mount
from ingestd.mount.helper_pool import Use
from ingestd.service import Service
from support.s3 import S3Mount, S3Server, S3World, demand_programs
from support.wait import until
from support.world import World, md5

STOP_SECONDS, HANG_SECONDS = 3.0, 60.0
"""the time that a daemon has to stop, and the time that it would wait for the mount"""
MANY = 60


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    demand_programs()
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def far(s3: S3Server, server: EmbeddedMariaDB, world: World, tmp_path: Path) -> Iterator[S3World]:
    """An empty library, and an empty bucket that is mounted."""
    s3.empty()
    s3.put("assets/sync/.keep", b"")
    mount = S3Mount(s3, tmp_path / "s3-sync")
    made = S3World(server, mount.folder / "assets", s3=s3, mount=mount)
    try:
        mount.mount()
        yield made
    finally:
        made.close()
        mount.unmount()


def quick(**mount: Any) -> dict[str, dict[str, Any]]:
    """Settings under which nothing is waited for that a test has to wait for."""
    return {
        "mount": {"poll_interval": 0.2, "rescan_interval": 3600.0, "verify": "size", **mount},
        "queue": {"auto": ["create", "update"]},
        "worker": {"poll_interval": 0.1, "chunk_items": 4, "heartbeat_interval": 0.2, "stop_seconds": STOP_SECONDS},
    }


@contextmanager
def running(world: S3World, **mount: Any) -> Iterator[Daemon]:
    daemon = Daemon(world.settings(**quick(**mount)))
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def wait_for_rounds(service: Service, count: int) -> None:
    for _ in range(count):
        before = service.ticked_at
        until(lambda before=before: service.ticked_at > before, what=f"for a round of {service.name}")  # type: ignore[misc]


def job_of(world: World, sync_id: str) -> tuple[str, int]:
    """State of the batch's job, and how many items it has done."""
    rows = world.sql(
        "SELECT j.state, j.items_done FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id WHERE b.sync_id = %s",
        sync_id,
    )
    return rows[0] if rows else ("none", 0)


def until_midway(world: World, sync_id: str) -> None:
    """Waits until the import has committed something, and makes sure that much is left."""
    until(lambda: job_of(world, sync_id)[1] > 0, what="for the first chunk")
    state, done = job_of(world, sync_id)
    assert state == "running"
    assert done < MANY // 2


def until_status(world: World, sync_id: str, status: str) -> None:
    statement = "SELECT 1 FROM ingest_batch WHERE sync_id = %s AND status = %s"
    until(lambda: world.sql(statement, sync_id, status), what=f"for {status}")


def kinds(world: World, sync_id: str) -> list[str]:
    return [kind for kind, _ in world.events(sync_id)]


def documents(world: World) -> list[tuple[Any, ...]]:
    """Title, kind and document of each asset, in order."""
    return world.sql(
        "SELECT title, 'source', document FROM asset JOIN asset_source ON asset_id = id"
        " UNION ALL SELECT title, analysis_kind, document FROM asset JOIN asset_ai_run ON asset_id = id ORDER BY 1, 2"
    )


def test_mount_is_read_only(far: S3World) -> None:
    far.file("sync/here", b"content")
    until((far.root / "sync" / "here").exists)
    for attempt in (
        lambda: (far.root / "sync" / "new").write_bytes(b"no"),
        lambda: (far.root / "sync" / "here").write_bytes(b"no"),
        (far.root / "sync" / "here").unlink,
    ):
        with pytest.raises(OSError, match="sync") as refused:
            attempt()
        assert refused.value.errno in (errno.EROFS, errno.EPERM)


def test_bundles_are_found_by_polling_and_imported(far: S3World) -> None:
    with running(far) as daemon:
        until(lambda: daemon.watcher.kind == "poll" and daemon.scanner.last_success, what="for the first scan")
        first = far.hand_over(*far.photos("first", 2))
        until_status(far, first, "imported")
        scanned_at = daemon.scanner.last_success
        good, short = far.photos("second", 2)
        far.file(f"{good['path']}/source/data/notes.txt", b"plain\n")
        second = far.put(good, short, day=2, ready=False)
        far.file(f"{short['path']}/0.jpg", b"x" * 9)
        before = far.s3.keys()
        far.sentinel(second, good, short)
        until_status(far, second, "partial")
        assert daemon.scanner.last_success == scanned_at, "found by a full scan, not by polling"
    assert far.decisions(second) == {md5("second0"): "created", md5("second1"): "failed:file_size_mismatch"}
    assert documents(far) == [
        ("first0", "photo_analysis", '{"about": "first0"}'),
        ("first0", "source", '{"from": "first0"}'),
        ("first1", "photo_analysis", '{"about": "first1"}'),
        ("first1", "source", '{"from": "first1"}'),
        ("second0", "photo_analysis", '{"about": "second0"}'),
        ("second0", "source", '{"from": "second0"}'),
        ("second0", "source_data:notes.txt", '{"encoding":"text","data":"plain\\n"}'),
    ]
    assert set(far.s3.keys()) - set(before) == {f"assets/sync/{second}.ready"}, "something was written to the bucket"


def test_mount_that_dies_fails_no_item(far: S3World) -> None:
    with running(far) as daemon:
        sync_id = far.hand_over(*far.photos("a", MANY))
        until_midway(far, sync_id)
        far.mount.kill()
        until(lambda: "job_released" in kinds(far, sync_id), what="for the job's release")
        (released,) = [payload for kind, payload in far.events(sync_id) if kind == "job_released"]
        assert released["reason"] == "mount_unavailable"
        done = job_of(far, sync_id)[1]
        assert 0 < done < MANY
        later = far.put(*far.photos("b", 1), day=2)
        for service in daemon.worker_pool.services:
            wait_for_rounds(service, 3)
        assert not daemon.context.mount.up
        assert job_of(far, sync_id) == ("queued", done)
        assert kinds(far, sync_id).count("job_claimed") == 1
        assert far.one("SELECT COUNT(*) FROM ingest_batch") == 1, "a dead mount was listed"
        far.mount.unmount()
        far.mount.mount()
        until_status(far, sync_id, "imported")
        until_status(far, later, "imported")
        assert daemon.context.mount.up
    events = kinds(far, sync_id)
    assert events.count("item_created") == MANY
    assert "item_failed" not in events
    assert set(far.decisions(sync_id).values()) == {"created"}
    assert len(documents(far)) == 2 * (MANY + 1)


def test_reads_that_cannot_even_be_killed_are_bounded(far: S3World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helper_pool.MAX_ABANDONED, Use.MANIFEST, 2)
    sync_ids = [far.hand_over(*far.photos(name, 1)) for name in "abcd"]
    mount = far.context(mount={"deadline": 1.0}).mount
    until(lambda: is_readable(mount, sync_ids[3]), what="for the mount to show the last bundle")
    with far.s3.hanging():
        # The mount has accepted these requests and waits for the server: no signal ends the callers now.
        for sync_id in sync_ids[:2]:
            with pytest.raises(MountUnavailable, match="does not answer"):
                mount.read_manifest(sync_id)
        with pytest.raises(MountUnavailable, match="2 reads hang in the mount"):
            mount.read_manifest(sync_ids[2])
    until(lambda: is_readable(mount, sync_ids[3]), what="for the mount to answer again")


def is_readable(mount: Mount, sync_id: str) -> bool:
    try:
        return bool(mount.read_manifest(sync_id).manifest)
    except (MountUnavailable, ManifestUnsettled):
        return False


def test_daemon_stops_in_time_while_the_mount_hangs(far: S3World, tmp_path: Path) -> None:
    sync_id = far.hand_over(*far.photos("a", MANY))
    process = start_daemon(far, tmp_path)
    try:
        until_midway(far, sync_id)
        far.mount.hang()
        wait_for_hang(far, sync_id)
        done = job_of(far, sync_id)[1]
        wait_for_beats(far, 3)
        assert job_of(far, sync_id) == ("running", done), "the mount does not hang"
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS / 2) == 0
    finally:
        process.kill()
        process.wait()
        far.mount.go_on()
    assert job_of(far, sync_id) == ("queued", done)
    (released,) = [payload for kind, payload in far.events(sync_id) if kind == "job_released"]
    assert released["reason"] == "stopping"
    assert far.run_next(far.context(**quick())) == "done"
    assert set(far.decisions(sync_id).values()) == {"created"}


def start_daemon(world: S3World, folder: Path) -> "subprocess.Popen[bytes]":
    """`ingestd run` as a process of its own, which waits longer for the mount than it has time to stop."""
    sections = {**quick(root=world.root, deadline=HANG_SECONDS), "http": {"listen": ""}, "metrics": {"listen": ""}}
    sections["database"] = {"unix_socket": world.server.socket}
    environment = {
        f"INGESTD_{section}__{key}".upper(): json.dumps(value) if isinstance(value, list) else str(value)
        for section, keys in sections.items()
        for key, value in keys.items()
    }
    with (folder / "daemon.log").open("wb") as log:
        command = [sys.executable, "-m", "ingestd", "run"]
        return subprocess.Popen(command, env={**os.environ, **environment}, stderr=log)


def wait_for_hang(world: World, sync_id: str) -> None:
    """Waits until no more chunks come: what was read before is written, and the next read gets no answer."""
    seen: list[int] = []

    def stalled() -> bool:
        wait_for_beats(world, 1)
        seen.append(job_of(world, sync_id)[1])
        return len(seen) > 3 and seen[-1] == seen[-3]

    until(stalled, what="for the import to stall")


def wait_for_beats(world: World, count: int) -> None:
    for _ in range(count):
        before = world.one("SELECT heartbeat_at FROM import_job")
        until(lambda before=before: world.one("SELECT heartbeat_at FROM import_job") != before, what="for a heartbeat")  # type: ignore[misc]

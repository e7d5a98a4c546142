"""The command mount accept, and where a refused mount is shown."""

import json

import pytest

from ingestd.mount.mountinfo import MountPoint
from support.command import Run
from support.world import World, photo

FIRST = MountPoint(1, "0:1", "/mnt", "fuse.rclone", "s3:bucket")
OTHER = MountPoint(1, "0:1", "/mnt", "ext4", "/dev/sda1")


@pytest.fixture
def covered(configured: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recorded bundle, which is not on the file system that is mounted now; returns its sync_id."""
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "true")
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: FIRST)
    sync_id = configured.put(photo("a"))
    assert run("scan").code == 0
    assert run("mount", "accept").code == 3
    (configured.root / "sync" / f"{sync_id}.ready").unlink()
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: OTHER)
    return sync_id


def test_a_covered_mount_is_shown_and_accepted(configured: World, run: Run, covered: str) -> None:
    code, out, err = run("scan")
    assert (code, out) == (69, "")
    assert "was fuse.rclone s3:bucket and is now ext4 /dev/sda1" in err
    assert "run `ingestd mount accept`" in err
    assert "is now ext4 /dev/sda1" in run("status").stdout
    (shown,) = run("status", "--json").json["refused_mounts"]
    assert (shown["source"], shown["refused_source"], shown["refused_reason"]) == ("s3:bucket", "/dev/sda1", "covered")
    doctor = run("doctor")
    assert doctor.code == 1
    assert "FAIL  mount identity: " in doctor.stdout
    accepted = run("mount", "accept", "--json")
    assert (accepted.code, accepted.json) == (0, {"from": "fuse.rclone s3:bucket", "to": "ext4 /dev/sda1"})
    assert run("scan").code == 0
    assert "is now" not in run("status").stdout
    assert run("doctor").code == 0
    ((payload,),) = configured.sql("SELECT payload FROM ingest_event WHERE event_type = %s", "mount_accepted")
    assert list(json.loads(payload)) == ["from", "phase", "requested_by", "to"]
    refused = run("mount", "accept")
    assert (refused.code, refused.stdout) == (3, "")
    assert "there is nothing to accept" in refused.stderr


def test_accepting_needs_the_mount_and_the_database(
    configured: World, run: Run, covered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("scan").code == 69
    with monkeypatch.context() as patched:
        patched.setenv("INGESTD_MOUNT__ROOT", "/nowhere")
        assert run("mount", "accept").code == 69
    with monkeypatch.context() as patched:
        patched.setenv("INGESTD_DATABASE__UNIX_SOCKET", "/nowhere")
        assert run("mount", "accept").code == 69
    assert run("mount", "accept").code == 0


def test_a_command_is_needed(run: Run) -> None:
    assert run("mount").code == 2

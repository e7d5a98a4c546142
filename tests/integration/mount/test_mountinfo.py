"""Which mount point covers a path."""

import os
from pathlib import Path

import pytest

from ingestd.mount.mountinfo import mount_point

MOUNTINFO = b"""\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:30 / /mnt rw - tmpfs tmpfs rw
31 30 0:31 / /mnt/with\\040space\\011tab\\134back rw,nosuid shared:5 master:2 - fuse.rclone rem\\040ote ro
32 30 0:32 / /mnt/s3 rw - nfs4 first rw
33 32 0:33 / /mnt/s3 rw - fuse.s3fs second rw
34 22 0:34 / /mnt/s3-sync rw - cifs other rw
35 22 0:35 / /mnt/gr\xc3\xb6\xc3\x9fe rw - 9p umlaut rw
36 22 0:36 / /mnt/bytes\xff\x0c\x85 rw - xfs odd rw
"""


@pytest.mark.parametrize(
    ("root", "mount_id", "fs_type", "remote"),
    [
        ("/", 22, "ext4", False),
        ("/srv/assets", 22, "ext4", False),
        ("/mnt", 30, "tmpfs", False),
        ("/mnt/other", 30, "tmpfs", False),
        ("/mnt/with space\ttab\\back/assets", 31, "fuse.rclone", True),
        ("/mnt/s3", 33, "fuse.s3fs", True),
        ("/mnt/s3/assets/../assets", 33, "fuse.s3fs", True),
        ("/mnt/s3-sync/assets", 34, "cifs", True),
        ("/mnt/s3x", 30, "tmpfs", False),
        ("/mnt/größe/assets", 35, "9p", True),
        (os.fsdecode(b"/mnt/bytes\xff\x0c\x85/assets"), 36, "xfs", False),
    ],
)
def test_mount_point_is_the_longest_then_latest_that_covers(
    root: str, mount_id: int, fs_type: str, remote: bool
) -> None:
    found = mount_point(Path(root), MOUNTINFO)
    assert (found.mount_id, found.fs_type, found.is_remote) == (mount_id, fs_type, remote)
    assert found.device == f"0:{mount_id}" or mount_id == 22


def test_mount_point_of_this_machine() -> None:
    assert mount_point(Path("/proc/self")).fs_type == "proc"

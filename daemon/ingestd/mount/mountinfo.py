"""Which file system is mounted at the root, from /proc/self/mountinfo: reading it never touches the mount."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

REMOTE_TYPES = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "afs", "lustre", "virtiofs", "beegfs")
"""Beginnings of file system types."""

ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo."""

    mount_id: int
    device: str
    point: str
    fs_type: str

    @property
    def is_remote(self) -> bool:
        """Whether changes made elsewhere cause no inotify events here, and each read waits for a network."""
        return self.fs_type.startswith(REMOTE_TYPES)


@dataclass(frozen=True, slots=True)
class MountIdentity:
    """Identifies the file system at the root. Another one compares unequal, and so does the same one mounted again.

    The latter only on Linux 6.8 and later: older kernels give a new mount the numbers of the previous one.
    """

    point: MountPoint
    st_dev: int
    unique_id: int


def mount_point(root: Path, mountinfo: bytes | None = None) -> MountPoint:
    """The mount that contains `root`: of all that cover it the longest path, and of these the last one mounted."""
    lines = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_bytes()
    wanted = os.path.abspath(root)
    best = MountPoint(0, "0:0", "/", "unknown")
    for line in filter(None, lines.split(b"\n")):
        found = _parse_line(line)
        covers = found.point in ("/", wanted) or wanted.startswith(found.point + "/")
        if covers and len(found.point) >= len(best.point):
            best = found
    return best


def _parse_line(line: bytes) -> MountPoint:
    mount_id, _, device, _, escaped, *rest = line.split(b" ")
    point = os.fsdecode(ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), escaped))
    return MountPoint(int(mount_id), device.decode(), point, rest[rest.index(b"-") + 1].decode())

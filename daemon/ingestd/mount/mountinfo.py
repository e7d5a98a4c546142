"""Which file system is mounted at the root, from /proc/self/mountinfo: reading it never touches the mount."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ingestd.model import Origin

REMOTE_TYPES = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "afs", "lustre", "virtiofs", "beegfs")
"""Beginnings of file system types."""

TRUE_TIMES = ("ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "f2fs")
"""File system types of this kernel alone: the times of a folder change with its names, by the clock of this machine."""
FS_IDS = ("ext2", "ext3", "ext4", "btrfs", "tmpfs")
"""File system types whose id in statvfs is made for one file system, when that is made, and stays with it."""
PLACEHOLDERS = ("autofs",)
"""File system types that stand where another one is mounted on demand."""
MAX_SOURCE = 1000

ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo."""

    mount_id: int
    device: str
    point: str
    fs_type: str
    source: str = ""
    """with the folder that is mounted, where that is not the root of its file system, as findmnt(8) writes it"""
    root: str = "/"

    @property
    def is_bare(self) -> bool:
        """Whether nothing is mounted there but the root of the machine, or what mounts on demand."""
        return self.point == "/" or self.fs_type in PLACEHOLDERS

    @property
    def has_true_times(self) -> bool:
        """Whether a folder that shows the same times has the same names."""
        return self.fs_type in TRUE_TIMES

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
    fs_id: int = 0

    @property
    def origin(self) -> Origin:
        """What is mounted, whenever and however often that is."""
        fs_id = f"{self.fs_id:x}:{self.point.root}" if self.fs_id and self.point.fs_type in FS_IDS else ""
        return Origin(self.point.fs_type, self.point.source, fs_id[:MAX_SOURCE])


def mount_point(root: Path, mountinfo: bytes | None = None) -> MountPoint:
    """The mount that contains `root`: of all that cover it the longest path, and of these the last one mounted."""
    lines = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_bytes()
    return _covering(os.path.abspath(root), lines)


@lru_cache(maxsize=4)
def _covering(wanted: str, lines: bytes) -> MountPoint:
    """It is asked for several times for each bundle, and hardly ever changes."""
    best = MountPoint(0, "0:0", "/", "unknown")
    for line in filter(None, lines.split(b"\n")):
        found = _parse_line(line)
        covers = found.point in ("/", wanted) or wanted.startswith(found.point + "/")
        if covers and len(found.point) >= len(best.point):
            best = found
    return best


def _parse_line(line: bytes) -> MountPoint:
    mount_id, _, device, root, escaped, *rest = line.split(b" ")
    after = rest.index(b"-")
    folder, source = _text(root), _text(rest[after + 2])
    shown = source if folder == "/" else f"{source}[{folder}]"
    point = os.fsdecode(_unescaped(escaped))
    return MountPoint(int(mount_id), device.decode(), point, rest[after + 1].decode(), shown[:MAX_SOURCE], folder)


def _text(escaped: bytes) -> str:
    """A field as text that can be stored, whatever bytes it has."""
    return _unescaped(escaped).decode("utf-8", "backslashreplace")


def _unescaped(field: bytes) -> bytes:
    return ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field)

"""Helper processes of a daemon, and the memory that a process needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.kept_helpers import kept


def helpers(parent: int | None = None) -> set[int]:
    """Ids of the living mount helpers of a process, without those that wait for a later test."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(ppid) == (parent or os.getpid()) and state != "Z" and b"ingestd.mount.helper" in command:
            found.add(int(stat.parent.name))
    return found - {helper._process.pid for helper in kept}


def descendants(parent: int) -> set[int]:
    """Ids of the children of a process, of their children, and so on."""
    found: set[int] = set()
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found |= set(map(int, children.read_text().split()))
        except OSError:
            continue
    return found.union(*map(descendants, found))


@dataclass
class Peak:
    """How many bytes more a process had in memory at most than at the beginning."""

    bytes: int = 0


@contextmanager
def peak_memory(process: int | str) -> Iterator[Peak]:
    """The peak of a living process during the block, known at its end."""
    folder = Path(f"/proc/{process}")
    (folder / "clear_refs").write_text("5")  # resets the peak
    before = _resident(folder, "VmRSS")
    peak = Peak()
    yield peak
    peak.bytes = _resident(folder, "VmHWM") - before


def _resident(folder: Path, name: str) -> int:
    (line,) = (line for line in (folder / "status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

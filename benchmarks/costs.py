"""What a daemon and its helpers take of the machine, and what the database is asked."""

import os
import time
from pathlib import Path

from common import Bench

TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [one for child in (task / "children").read_text().split() for one in family(int(child))]
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process and all that it started, also of what has ended."""
    return sum(sum(map(int, _times(one))) for one in family(pid)) / TICK


def _times(pid: int) -> list[str]:
    """User and system time of a process, and of those that it started and that have ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]


def pss_mib(pid: int) -> float:
    """Proportional memory of a process and all that it started."""
    return sum(_pss_kib(one) for one in family(pid)) / 1024


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def while_idle(world: Bench, pid: int, seconds: float) -> tuple[float, float]:
    """Processor time in per cent of a core, and statements a second."""
    cpu, asked = cpu_seconds(pid), questions(world)
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    # Looking takes statements itself: two to open a connection and look, and one more the second time.
    return (cpu_seconds(pid) - cpu) / passed * 100, (questions(world) - asked) / passed


def questions(world: Bench) -> int:
    ((_, count),) = world.sql("SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(count)

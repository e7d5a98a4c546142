"""What a daemon and its helpers take of the machine, and what the database is asked."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from common import Bench, timed

from support.processes import descendants

TICK = os.sysconf("SC_CLK_TCK")


def spent(work: Callable[[], object], *pids: int | None) -> tuple[float, float]:
    """Seconds on the clock, and processor seconds of these processes and all that they started."""
    before = sum(cpu_seconds(pid) for pid in pids if pid)
    seconds = timed(work)
    return seconds, sum(cpu_seconds(pid) for pid in pids if pid) - before


def cpu_seconds(pid: int) -> float:
    """Of a process and all that it started, also of what has ended."""
    return sum(_cpu_seconds(one) for one in (pid, *descendants(pid)))


def _cpu_seconds(pid: int) -> float:
    """Of a process, and of those of its children that have ended; of one that has just ended, none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICK


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

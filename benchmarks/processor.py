"""Processor time, which what else runs on the machine changes less than the time on the clock."""

import os
from collections.abc import Callable
from pathlib import Path

from common import Bench, timed

from support.process import Process
from support.processes import descendants

TICK = os.sysconf("SC_CLK_TCK")


def spent(work: Callable[[], object], world: Bench, process: Process | None = None) -> tuple[float, float]:
    """Seconds on the clock, and processor seconds of the server, and of the daemon with its helpers."""
    assert world.server.pid is not None
    pids = [world.server.pid, *([process.pid] if process else [])]
    before = sum(map(processor_seconds, pids))
    seconds = timed(work)
    return seconds, sum(map(processor_seconds, pids)) - before


def processor_seconds(pid: int) -> float:
    """Of a process and all that it started, also of what has ended."""
    return sum(_own_seconds(one) for one in (pid, *descendants(pid)))


def _own_seconds(pid: int) -> float:
    """Of a process, and of those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICK

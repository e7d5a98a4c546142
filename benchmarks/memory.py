"""What a daemon and its helpers take of memory together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import descendants

LOOK = 0.1
"""seconds between looks"""


@dataclass
class Peak:
    """The most that a daemon and its helpers have taken together at one moment, in MiB, and who took how much of it."""

    mib: float = 0.0
    parts: list[float] = field(default_factory=list)

    def look(self, pid: int) -> None:
        parts = sorted((pss_mib(one) for one in (pid, *descendants(pid))), reverse=True)
        if sum(parts) > self.mib:
            self.mib, self.parts = sum(parts), [round(part) for part in parts]


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """The peak of a daemon and its helpers until the end of the block."""
    peak, is_over = Peak(), threading.Event()

    def work() -> None:
        while not is_over.wait(LOOK):
            peak.look(pid)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def family_pss_mib(pid: int) -> float:
    """Proportional memory of a daemon and its helpers."""
    return sum(map(pss_mib, (pid, *descendants(pid))))


def pss_mib(pid: int) -> float:
    """Proportional memory of a process; of one that has just ended, none."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)

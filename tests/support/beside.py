"""Hostile bundles for a real daemon, with a healthy bundle beside each: the time that it takes, and the memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.manifests import SYNC_ID
from support.process import Process
from support.processes import descendants
from support.wait import until
from support.world import World, new_sync_id, photo

SAMPLE_SECONDS = 0.02
DONE = ("imported", "partial", "failed", "invalid")
SETTLING = "settling"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hostile bundle came to, and what it cost: seconds until the healthy one was imported, peaks in bytes.

    `helpers` is the peak of all helper processes together.
    """

    name: str
    status: str
    seconds: float
    daemon: int
    helpers: int


@dataclass
class Beside:
    """Delivers bundles to the daemon of a world."""

    world: World
    process: Process
    costs: list[Cost] = field(default_factory=list)

    def manifest(self, name: str, data: bytes, *, settles: bool) -> Cost:
        """A hostile manifest. `settles`: it is expected to be waited for, because it is not complete JSON."""
        sync_id = first_id()
        self.world.file(f"sync/{sync_id}.json", data.replace(SYNC_ID.encode(), sync_id.encode(), 1))
        return self._deliver(name, sync_id, settles=settles)

    def documents(self, name: str, content: bytes, count: int = 1, items: int = 1, bundles: int = 1) -> Cost:
        """Bundles of items with so many documents each; all bundles at once."""
        sync_ids = [first_id() for _ in range(bundles)]
        for sync_id in sync_ids:
            hostile = [photo(f"{sync_id}{number}", files=0) for number in range(items)]
            for item in hostile:
                for number in range(count):
                    self.world.file(f"{item['path']}/source/data/{number:04d}.json", content)
            self.world.put(*hostile, sync_id=sync_id, ready=False)
        return self._deliver(name, *sync_ids)

    def _deliver(self, name: str, *sync_ids: str, settles: bool = False) -> Cost:
        with peaks(self.process.pid) as found:
            seconds = self._deliver_with_healthy(name, *sync_ids)
            statuses = [self._outcome(name, sync_id, settles=settles) for sync_id in sync_ids]
        for sync_id in sync_ids:
            for ending in ("json", "ready"):
                self.world.root.joinpath(f"sync/{sync_id}.{ending}").unlink()
        self.costs.append(Cost(name, "+".join(sorted(set(statuses))), seconds, found["daemon"], found["helpers"]))
        return self.costs[-1]

    def _deliver_with_healthy(self, name: str, *sync_ids: str) -> float:
        """Seconds from the sentinel of a healthy bundle, which sorts behind the hostile ones, to its import."""
        healthy = self.world.put(photo(new_sync_id()), sync_id=f"ffffffff{new_sync_id()[8:]}", ready=False)
        for sync_id in (*sync_ids, healthy):
            self.world.file(f"sync/{sync_id}.ready", b"")
        began = time.monotonic()
        until(lambda: self._status(healthy) == "imported", seconds=60, what=lambda: f"{name}: {self.process.log}")
        return time.monotonic() - began

    def _outcome(self, name: str, sync_id: str, *, settles: bool) -> str:
        found = self._settled if settles else self._ended
        return until(lambda: found(sync_id), seconds=500, what=lambda: f"for {name}: {self.process.log}")

    def _status(self, sync_id: str) -> str:
        rows = self.world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
        return str(rows[0][0]) if rows else ""

    def _ended(self, sync_id: str) -> str:
        """The last status of a bundle; empty before."""
        status = self._status(sync_id)
        return status if status in DONE else ""

    def _settled(self, sync_id: str) -> str:
        """SETTLING once a bundle was read and is not recorded; its status if it is; empty while it is being read."""
        return (self._status(sync_id) or SETTLING) if is_idle(self.process.pid) else ""


def first_id() -> str:
    """A sync_id that sorts before all others."""
    return f"00000000{new_sync_id()[8:]}"


def is_idle(pid: int) -> bool:
    """Whether the helpers of a daemon did nothing for a moment."""
    before = _ticks(pid)
    time.sleep(10 * SAMPLE_SECONDS)
    return _ticks(pid) == before


def _ticks(pid: int) -> dict[int, list[str]]:
    return {child: Path(f"/proc/{child}/stat").read_text().split()[13:15] for child in descendants(pid)}


@contextmanager
def peaks(pid: int) -> Iterator[dict[str, int]]:
    """The peak of a daemon, which the kernel keeps, and that of its helpers together, which is sampled."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    found = {"daemon": 0, "helpers": 0}
    ended = threading.Event()
    thread = threading.Thread(target=_sample, args=(pid, found, ended))
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        found["daemon"] = _status_bytes(pid, "VmHWM")


def _sample(pid: int, found: dict[str, int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        with suppress(OSError, ValueError):
            total = sum(_status_bytes(child, "RssAnon") for child in descendants(pid))
            found["helpers"] = max(found["helpers"], total)


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)

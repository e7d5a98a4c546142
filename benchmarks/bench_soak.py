"""Line 21: a daemon that imports at full speed for 20 minutes must not grow."""

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import count
from typing import Any

from common import Bench, announce, lean_item, median, write_manifest
from frame import Form, Value, measures, note
from memory import family_pss_mib
from real_daemon import daemon, make_files

from support.processes import descendants

QUEUED = 200
"""bundles that wait to be imported at any time"""
KEPT = 2_000
"""imported bundles that stay on the mount: older ones are taken away, as upstreams do"""
EVERY, LARGE = 50, 500
"""One bundle of so many is of so many items; the others have one item."""
LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon and its helpers take at one moment."""

    memory: float
    descriptors: float
    threads: float
    connections: float
    helpers: float


@measures("21a", "21b")
def soak(world: Bench, form: Form) -> Iterator[Value]:
    """The medians of the last quarter of the time, to those of the quarter before."""
    seconds = form.of(1200, 120)
    with daemon(world) as process:
        samples = [sample(world, process.pid) for _ in while_importing(world, seconds)]
    quarter = len(samples) // 4
    before, last = middle(samples[-2 * quarter : -quarter]), middle(samples[-quarter:])
    note(f"before: {before}")
    note(f"last: {last}")
    yield Value("21a", last.memory / before.memory)
    yield Value("21b", sum(max(0.0, b - a) for a, b in zip(astuple(before)[1:], astuple(last)[1:], strict=True)))


def while_importing(world: Bench, seconds: float) -> Iterator[None]:
    """Delivers bundles so that some are always waiting; yields about once a second."""
    begun, numbers, present, next_sample = time.monotonic(), count(), deque[tuple[str, list[Any]]](), 0.0
    while time.monotonic() < begun + seconds:
        for _ in range(room(world, present[-1][0] if present else None)):
            present.append(deliver(world, next(numbers)))
        while len(present) > KEPT + QUEUED:
            take_away(world, *present.popleft())
        if time.monotonic() > next_sample:
            next_sample = time.monotonic() + 1.0
            yield
        time.sleep(LOOK)
    note(f"{next(numbers) / seconds:.0f} bundles/s")


def room(world: Bench, last: str | None) -> int:
    """How many bundles to deliver now: none while the last one is not recorded."""
    if last and not world.sql(f"SELECT 1 FROM ingest_batch WHERE sync_id = '{last}'"):
        return 0
    ((waiting,),) = world.sql("SELECT COUNT(*) FROM ingest_batch WHERE status <> 'imported'")
    return max(0, QUEUED - int(waiting))


def deliver(world: Bench, number: int) -> tuple[str, list[dict[str, Any]]]:
    items = [lean_item(one, f"soak {number}") for one in range(1 if number % EVERY else LARGE)]
    make_files(world, items)
    sync_id = write_manifest(world, items)
    announce(world, sync_id)
    return sync_id, items


def take_away(world: Bench, sync_id: str, items: list[dict[str, Any]]) -> None:
    for ending in ("ready", "json"):
        (world.root / "sync" / f"{sync_id}.{ending}").unlink()
    for item in items:
        shutil.rmtree(world.root / item["path"])


def sample(world: Bench, pid: int) -> Sample:
    ((connections,),) = world.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE user = 'ingestd'")
    descriptors, threads = (len(os.listdir(f"/proc/{pid}/{folder}")) for folder in ("fd", "task"))
    return Sample(family_pss_mib(pid), descriptors, threads, connections, len(descendants(pid)))


def middle(samples: list[Sample]) -> Sample:
    columns = zip(*map(astuple, samples), strict=True)
    memory, descriptors, threads, connections, helpers = (median(list(column)) for column in columns)
    return Sample(memory, descriptors, threads, connections, helpers)

"""Lines 3 and 14: how soon a bundle is noticed on a far mount, and what it costs to poll very many sentinels."""

import os
import time
from collections.abc import Iterator
from typing import Any

from common import Bench, lean_item, median, put, timed
from frame import Form, Value, measures, note
from known_bundles import know
from real_daemon import daemon, make_files
from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.observers.polling import PollingEmitter

from ingestd.mount.access import Mount
from ingestd.pipeline.settling import Settling
from ingestd.pipeline.watcher import SentinelEmitter
from support.faulty_fuse import faulty_fuse
from support.wait import until

LATENCY, NAMES_KEPT = 0.030, 1
POLL_SECONDS, GAP_SECONDS = 5.0, 1.7
"""the default of mount.poll_interval, and between two bundles: they come at any moment of it"""


@measures("3a", "3b")
def noticed_on_a_far_mount(world: Bench, form: Form) -> Iterator[Value]:
    for number in range(form.rounds(1, 1)):
        world.clear()
        know(world, form.of(10_000, 1_000))
        with faulty_fuse(world.root, world.folder / f"far-{number}") as far:
            far.valid = NAMES_KEPT
            with daemon(world, far.point):
                far.pace = LATENCY
                delays = [seconds - POLL_SECONDS for seconds in noticed(world, form.of(30, 10))]
                far.pace = 0.0
        note(f"beyond the poll interval: {' '.join(f'{delay:.2f}' for delay in sorted(delays))}")
        yield from (Value("3a", delay) for delay in delays)
        yield Value("3b", max(delays))


def noticed(world: Bench, count: int) -> list[float]:
    """Seconds from each of some sentinels to its batch, by the clock of the database."""
    put_at = {}
    for number in range(count):
        time.sleep(GAP_SECONDS)
        made = [lean_item(0, f"noticed {number}")]
        make_files(world, made)
        ((now,),) = world.sql("SELECT UTC_TIMESTAMP(6)")
        put_at[put(world, made)] = now
    found = f"SELECT sync_id, discovered_at FROM ingest_batch WHERE sync_id IN ({', '.join(map(repr, put_at))})"
    until(lambda: len(world.sql(found)) == count, seconds=300, what="for all to be recorded", max_pause=0.5)
    return [(discovered_at - put_at[sync_id]).total_seconds() for sync_id, discovered_at in world.sql(found)]


@measures("14a", "14b", quick=True)
def poll_of_many(world: Bench, form: Form) -> Iterator[Value]:
    """Each poll finds one more sentinel: where nothing has changed, polling may do less than a listing."""
    know(world, form.of(100_000, 20_000))
    folder = str(world.root / "sync")
    mount = Mount(world.settings().mount)
    watch = ObservedWatch(folder, recursive=False)
    ours = SentinelEmitter(EventQueue(), watch, mount=mount, settling=Settling(300.0))
    theirs = PollingEmitter(EventQueue(), watch, timeout=0.0)
    try:
        for emitter in (ours, theirs):
            emitter.on_thread_start()
        for _ in range(form.rounds(7, 3)):
            put(world, [])
            rounds = [(timed(lambda: names(folder)), timed(lambda: ours.queue_events(0.0))) for _ in range(3)]
            listed, polled = (median(list(one)) for one in zip(*rounds, strict=True))
            stock = timed(lambda: theirs.queue_events(0.0))
            note(f"names {listed * 1000:.0f} ms, a poll {polled * 1000:.0f} ms, watchdog's {stock * 1000:.0f} ms")
            yield Value("14a", polled / listed)
            yield Value("14b", polled / stock)
    finally:
        mount.close()


def names(folder: str) -> list[Any]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]

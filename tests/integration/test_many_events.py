"""More events than the kernel keeps: some are dropped, and a listing finds the bundles that they were about."""

import signal
import threading
import time
from pathlib import Path

import pytest

from ingestd.pipeline.watcher import Watcher
from support.process import daemons_of
from support.wait import until
from support.world import World, new_sync_id, photo

KEPT = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def test_a_listing_is_asked_for_when_the_kernel_has_dropped_events(world: World) -> None:
    armed: list[int] = []
    named: set[str] = set()
    released = threading.Event()

    def name(sync_ids: set[str]) -> None:
        released.wait(60)
        named.update(sync_ids)

    mount = world.context(mount={"watch": "inotify"}).mount
    made = Watcher(mount, name, lambda _name: False, lambda: armed.append(1))
    try:
        made.run_once()
        first = world.put(photo("a"))
        for number in range(KEPT):
            (world.root / "sync" / f"{number}.tmp").touch()
        assert armed == [1]
        released.set()
        until(lambda: len(armed) == 2)
        assert named == {first}
        later = world.put(photo("b"))
        until(lambda: later in named)
        assert len(armed) == 2, "listings cost something, and few events need none"
    finally:
        released.set()
        made.stop()


@pytest.mark.soak_only
def test_bundle_whose_event_was_dropped_is_found_soon(world: World, tmp_path: Path) -> None:
    with daemons_of(world, tmp_path) as daemons:
        process = daemons.start(mount={"watch": "inotify", "rescan_interval": 600.0})
        process.wait_for("watcher_armed")
        first = world.put(photo("first"))
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", first))
        process.freeze()
        for _ in range(KEPT):
            (world.root / "sync" / f"{new_sync_id()}.ready").touch()
        late = world.put(photo("late"))
        process.send(signal.SIGCONT)
        start = time.monotonic()
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", late))
        assert time.monotonic() - start < 20
        assert "events_dropped" in process.log, "no event was dropped"

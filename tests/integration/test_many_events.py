"""More events than the kernel keeps: some are dropped, and a listing finds the bundles that they were about."""

import signal
import time
from pathlib import Path

import pytest

from ingestd.pipeline import watcher
from ingestd.pipeline.watcher import Watcher, max_queued_events
from support.process import daemons_of
from support.wait import until
from support.world import World, new_sync_id, photo


@pytest.mark.parametrize(("kept", "least"), [(4, 4), (16, 2), (16384, 0)])
def test_listings_are_asked_for_after_as_many_events_as_may_be_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch, kept: int, least: int
) -> None:
    monkeypatch.setattr(watcher, "max_queued_events", lambda: kept)
    armed: list[int] = []
    named: set[str] = set()
    mount = world.context(mount={"watch": "inotify"}).mount
    made = Watcher(mount, named.update, lambda _name: False, lambda: armed.append(1))
    try:
        made.run_once()
        wanted = {world.put(photo("a")) for _ in range(6)}
        until(lambda: named >= wanted)
        until(lambda: len(armed) - 1 >= least)
        assert kept < 1000 or len(armed) == 1, "listings cost something, and few events need none"
    finally:
        made.stop()


def test_unknown_limit_of_the_kernel_is_taken_for_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_QUEUED_EVENTS", tmp_path / "absent")
    assert max_queued_events() == 16384


@pytest.mark.soak_only
def test_bundle_whose_event_was_dropped_is_found_soon(world: World, tmp_path: Path) -> None:
    with daemons_of(world, tmp_path) as daemons:
        process = daemons.start(mount={"watch": "inotify", "rescan_interval": 600.0})
        process.wait_for("watcher_armed")
        first = world.put(photo("first"))
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", first))
        process.freeze()
        for _ in range(max_queued_events()):
            (world.root / "sync" / f"{new_sync_id()}.ready").touch()
        late = world.put(photo("late"))
        process.send(signal.SIGCONT)
        start = time.monotonic()
        until(lambda: world.sql("SELECT 1 FROM ingest_batch WHERE sync_id = %s", late))
        assert time.monotonic() - start < 20
        assert "overflow" in process.log, "no event was dropped"

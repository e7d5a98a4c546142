"""The watcher of a root that is replaced, or polled."""

from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import EventQueue, ObservedWatch

from ingestd.errors import ListingEndless, MountUnavailable
from ingestd.mount.mountinfo import MountIdentity
from ingestd.mount.records import Listing
from ingestd.pipeline.settling import Settling
from ingestd.pipeline.watcher import SentinelEmitter, Watcher
from support.real_mount import MakeMount, replace_root
from support.wait import until
from support.world import new_sync_id


def test_the_watcher_restarts_when_the_mount_returns(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(watch="inotify")
    named: list[set[str]] = []
    armed: list[MountIdentity | None] = []
    watcher = Watcher(mount, named.append, lambda _name: False, lambda: armed.append(mount.identity))
    try:
        watcher.run_once()
        assert watcher.kind == "inotify"
        watcher.run_once()
        assert len(armed) == 1
        root.unlink()
        with pytest.raises(MountUnavailable):
            watcher.run_once()
        assert watcher.kind is None
        replace_root(root, "real")
        watcher.run_once()
        assert watcher.kind == "inotify"
        assert len(armed) == 2
        assert armed[0] == armed[1], "the test is void if the identity differs"
        sync_id = new_sync_id()
        (root / "sync" / f"{sync_id}.ready").touch()
        until(lambda: {sync_id} in named, what="for an event of the new watch")
    finally:
        watcher.stop()


def test_polling_names_what_is_new_only(make_mount: MakeMount, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = make_mount(watch="poll", poll_interval=0.01)
    sentinels, listings = mount.list_sentinels, []

    def counted(**options: Any) -> Listing:
        listings.append(sentinels(**options))
        return listings[-1]

    monkeypatch.setattr(mount, "list_sentinels", counted)
    old, new = new_sync_id(), new_sync_id()
    (root / "sync" / f"{old}.ready").touch()
    named: list[set[str]] = []
    watcher = Watcher(mount, named.append, lambda _name: False)
    try:
        watcher.run_once()
        until(lambda: listings, what="for the first listing")
        root.unlink()
        replace_root(root, "real")
        (root / "sync" / f"{new}.ready").touch()
        until(lambda: named, what="for an event of polling")
        count = len(listings)
        until(lambda: len(listings) > count + 2, what="for further listings")
    finally:
        watcher.stop()
    assert named == [{new}]


def test_polling_rests_after_a_listing_without_end(
    make_mount: MakeMount, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = make_mount(watch="poll", rescan_interval=1000.0)
    listings: list[int] = []

    def endless(**_options: Any) -> Listing:
        listings.append(1)
        raise ListingEndless("it does not end")

    monkeypatch.setattr(mount, "list_sentinels", endless)
    watch = ObservedWatch(str(root / "sync"), recursive=False)
    emitter = SentinelEmitter(EventQueue(), watch, mount=mount, settling=Settling(300.0))
    emitter.on_thread_start()
    for _ in range(3):
        emitter.queue_events(0.0)
    assert len(listings) == 1
    emitter._rest_until = 0.0
    emitter.queue_events(0.0)
    assert len(listings) == 2

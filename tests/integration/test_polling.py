"""The watcher where it compares listings: what is emitted, when, and what a listing costs."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ingestd.mount.access import Mount
from ingestd.mount.records import Listing
from ingestd.pipeline import settling, watcher
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.settling import Settling
from support.faulty_fuse import READDIR, FaultyFuse
from support.listings import Polling
from support.reaped import until_reaped
from support.scanning import Clock, recorded, write_sentinel
from support.world import World, new_sync_id, photo


def age(folder: Path, seconds: float) -> None:
    """Waits until the last change of a folder is so long ago."""
    time.sleep(max(0.0, os.stat(folder).st_ctime + seconds - time.time()))


def polling(mount: Mount) -> Polling:
    return Polling(mount, Settling(300.0))


def test_an_unchanged_folder_is_not_listed_again(world: World) -> None:
    mount = world.context().mount
    old = write_sentinel(world, new_sync_id())
    poll = polling(mount)
    assert not poll.last.is_unchanged
    age(world.root / "sync", 0.3)
    poll.emitted()
    assert (poll.last.is_unchanged, bool(poll.last.stamp)) == (False, True)
    assert poll.emitted() == []
    assert poll.last.is_unchanged
    new = write_sentinel(world, new_sync_id())
    assert poll.emitted() == [new.name]
    old.unlink()
    assert poll.emitted() == []
    old.touch()
    assert poll.emitted() == [old.name], "it went and came"


def test_the_times_of_a_remote_folder_say_nothing(world: World, faulty: FaultyFuse) -> None:
    write_sentinel(world, new_sync_id())
    age(world.root / "sync", 0.3)
    poll = polling(world.context(mount={"root": faulty.point}).mount)
    for _ in range(3):
        poll.emitted()
        assert not poll.last.is_unchanged
    assert faulty.operations[READDIR] == 8, "two for each listing: the names, and that there are no more"


def test_a_remote_folder_of_many_names_takes_few_operations(world: World, faulty: FaultyFuse) -> None:
    for _ in range(3000):
        write_sentinel(world, new_sync_id()).with_suffix(".json").touch()
    mount = world.context(mount={"root": faulty.point}).mount
    assert len(mount.list_sentinels().sync_ids) == 3000
    assert faulty.operations[READDIR] <= 5, "Linux 6.16 and later ask for as much as fits into the buffer"


def test_new_names_are_emitted_before_the_listing_ends(world: World, faulty: FaultyFuse) -> None:
    mount = world.context(mount={"root": faulty.point, "deadline": 1.0}).mount
    poll = polling(mount)
    first, second = (write_sentinel(world, new_sync_id()) for _ in range(2))
    faulty.break_listing("sync")
    try:
        assert poll.emitted() == sorted([first.name, second.name])
    finally:
        faulty.clear()
    until_reaped(mount)
    assert poll.emitted() == [], "they were seen"


def test_names_of_endless_listings_do_not_add_up(
    world: World, faulty: FaultyFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "MAX_EARLY", 100)
    monkeypatch.setattr("ingestd.mount.listing_receiver.MAX_SENTINELS", 20_000)
    poll = polling(world.context(mount={"root": faulty.point}).mount)
    faulty.endless["sync"] = lambda _number: f"{new_sync_id()}.ready"
    for _ in range(3):
        assert len(poll.emitted()) < 10_000
        poll.emitter._rest_until = 0.0
    assert not poll.emitter._seen


def test_of_many_that_are_waited_for_all_have_their_turn_in_an_unchanged_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MAX_AWAITED", 1)
    waiting = Settling(300.0)
    sentinels = [write_sentinel(world, new_sync_id()) for _ in range(2)]
    for sentinel in sentinels:
        waiting.try_again(sentinel.stem)
    poll = Polling(world.context().mount, waiting)
    for sentinel in sentinels:
        sentinel.with_suffix(".json").touch()
    age(world.root / "sync", 0.3)
    turns = [name for _ in range(4) for name in poll.emitted()]
    assert sorted(turns) == sorted(f"{sentinel.stem}.json" for sentinel in sentinels)


def test_the_time_that_a_listing_takes_is_part_of_the_interval(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waited = Clock(), []
    emitter = polling(world.context().mount).emitter

    def wait(seconds: float) -> None:
        waited.append(seconds)
        clock.now += seconds

    def list_slowly() -> None:
        clock.now += 3.0

    monkeypatch.setattr(watcher, "time", clock)
    monkeypatch.setattr(emitter.stopped_event, "wait", wait)
    monkeypatch.setattr(emitter, "_list", list_slowly)
    for _ in range(3):
        emitter.queue_events(5.0)
    assert waited == [0.0, 2.0, 2.0]


def test_full_scans_list_a_folder_that_has_changed(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    scanner = Scanner(context)
    made: list[Listing] = []
    real = context.mount.list_sentinels

    def listing(*some: Any, **named: Any) -> Listing:
        made.append(real(*some, **named))
        return made[-1]

    monkeypatch.setattr(context.mount, "list_sentinels", listing)
    known = world.put(photo("a"))
    age(world.root / "sync", 0.3)
    for is_unchanged in (False, True, True):
        clock.now += 60.0
        scanner.run_once()
        assert made[-1].is_unchanged is is_unchanged
    assert scanner.rotation.present == {known}
    new = world.put(photo("b"))
    clock.now += 60.0
    scanner.run_once()
    assert recorded(world) == [(known, "new"), (new, "new")]
    scanner.scan()
    assert not made[-1].is_unchanged, "a person asked for it"

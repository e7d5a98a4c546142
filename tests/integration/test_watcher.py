"""The watcher: which file events wake the scanner, by inotify and by polling."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import MountUnavailable
from ingestd.mount.records import Listing
from ingestd.pipeline import delivery
from ingestd.pipeline.context import Context
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.watcher import Watcher
from ingestd.store import batch
from support.scanning import recorded, write_sentinel
from support.wait import until
from support.world import World, new_sync_id, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


# the watcher


@pytest.fixture(params=["inotify", "poll"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Watching:
    """An armed watcher, and what it said."""

    def __init__(self, world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.named: list[set[str]] = []
        self.armed = 0
        mount = world.context(mount={"watch": kind, "poll_interval": 0.05}).mount
        self.awaited: set[str] = set()
        self.watcher = Watcher(mount, self.named.append, self.awaited.__contains__, self._arm)
        self._listed, real = threading.Event(), mount.list_sentinels

        def listing(**options: Any) -> Listing:
            try:
                return real(**options)
            finally:
                self._listed.set()

        monkeypatch.setattr(mount, "list_sentinels", listing)

    def arm(self) -> None:
        """Arms it, and lets the emitter that polls see what is there already: that is for the scanner to find."""
        self.watcher.run_once()
        assert self.watcher.kind != "poll" or self._listed.wait(10)

    def _arm(self) -> None:
        self.armed += 1

    def forget_listing(self) -> None:
        self._listed.clear()

    def heard_of(self, sync_id: str) -> None:
        """Waits until it was named; forgets it."""
        until(lambda: any(sync_id in names for names in self.named), what=f"for a hint of {sync_id}")
        self.named.clear()

    @property
    def all_named(self) -> set[str]:
        return set().union(*self.named)


@pytest.fixture
def watching(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    made = Watching(world, kind, monkeypatch)
    made.arm()
    assert made.watcher.kind == kind
    assert made.armed == 1
    yield made
    made.watcher.stop()
    assert made.watcher.kind is None


def write_aside(folder: Path, sync_id: str) -> None:
    (folder / f".{sync_id}.ready.tmp").write_bytes(b"")
    (folder / f".{sync_id}.ready.tmp").rename(folder / f"{sync_id}.ready")


def write_elsewhere(folder: Path, sync_id: str) -> None:
    (folder.parent / "new").write_bytes(b"")
    (folder.parent / "new").rename(folder / f"{sync_id}.ready")


def write_in_place(folder: Path, sync_id: str) -> None:
    (folder / f"{sync_id}.ready").write_bytes(b"done")


def rename_another(folder: Path, sync_id: str) -> None:
    before = folder / f"{new_sync_id()}.ready"
    before.write_bytes(b"")
    before.rename(folder / f"{sync_id}.ready")


def link(folder: Path, sync_id: str) -> None:
    (folder.parent / "target").write_bytes(b"")
    (folder / f"{sync_id}.ready").hardlink_to(folder.parent / "target")


@pytest.mark.parametrize("hand_over", [write_in_place, write_aside, write_elsewhere, rename_another, link])
def test_a_new_sentinel_is_hinted_at_however_it_came(
    world: World, watching: Watching, hand_over: Callable[[Path, str], None]
) -> None:
    sync_id = new_sync_id()
    hand_over(world.root / "sync", sync_id)
    watching.heard_of(sync_id)


def test_other_files_give_no_hint(world: World, watching: Watching) -> None:
    for name in ("notes.txt", "upper.ready", "A09117D8-8013-4A85-8C57-B2CCDB3D36F6.ready", f"{new_sync_id()}.ready~"):
        world.file(f"sync/{name}", b"")
    # Events come in order: what is heard now comes after all those.
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    until(lambda: sync_id in watching.all_named)
    assert watching.all_named == {sync_id}


def test_a_hint_wakes_a_scanner_that_records_the_bundle(world: World, watching: Watching) -> None:
    scanner = Scanner(world.context(mount={"rescan_interval": 1000.0}))
    scanner.run_once()
    sync_id = world.put(photo("a"))
    until(lambda: sync_id in watching.all_named)
    scanner.name(watching.all_named)
    scanner.run_once()
    assert recorded(world) == [(sync_id, "new")]


def test_a_mount_that_went_and_came_back_is_watched_again(world: World, watching: Watching) -> None:
    away = world.root.with_name("away")
    world.root.rename(away)
    with pytest.raises(MountUnavailable):
        watching.watcher.run_once()
    assert watching.watcher.kind is None
    watching.forget_listing()
    away.rename(world.root)
    watching.arm()
    assert watching.armed == 2, "files that arrived meanwhile gave no event: a full scan is needed"
    watching.watcher.run_once()
    assert watching.armed == 2
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    watching.heard_of(sync_id)


def test_a_rewritten_manifest_is_hinted_at_when_it_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(world, "inotify", monkeypatch)
    sync_id = world.put(photo("a"))
    watching.awaited.add(sync_id)
    watching.arm()
    try:
        with (world.root / "sync" / f"{sync_id}.json").open("ab") as manifest:
            manifest.write(b" ")
            manifest.flush()
            other = new_sync_id()
            write_sentinel(world, other)
            until(lambda: other in watching.all_named)
            assert sync_id not in watching.all_named, "not before it is whole"
        watching.heard_of(sync_id)
    finally:
        watching.watcher.stop()


def test_a_manifest_before_its_sentinel_gives_no_hint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(world, "inotify", monkeypatch)
    watching.arm()
    try:
        early, sync_id = world.put(photo("a"), ready=False), new_sync_id()
        write_sentinel(world, sync_id)
        until(lambda: sync_id in watching.all_named)
        assert early not in watching.all_named
    finally:
        watching.watcher.stop()


def test_a_manifest_is_awaited_once_it_was_read_and_while_it_settles(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(world.context())
    scanner.scan()
    sync_id, settling = world.put(photo("a")), new_sync_id()
    write_sentinel(world, settling)
    real, while_read = delivery.read, []

    def reading(context: Context, name: str, *more: Any, **options: Any) -> delivery.Delivery:
        while_read.append(scanner.awaits(name))
        return real(context, name, *more, **options)

    monkeypatch.setattr(delivery, "read", reading)
    assert not scanner.awaits(sync_id)
    scanner.scan()
    assert len(while_read) >= 2
    assert all(while_read)
    assert scanner.awaits(sync_id)
    assert scanner.awaits(settling)
    assert not scanner.awaits(new_sync_id())


def test_any_manifest_is_awaited_until_it_is_known_what_is_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_id, other = world.put(photo("a")), new_sync_id()
    world.scan(world.context())
    scanner = Scanner(world.context())
    real, while_asked = batch.recorded, []

    def asked(*arguments: Any, **options: Any) -> set[str]:
        while_asked.append(scanner.awaits(sync_id))
        return real(*arguments, **options)

    monkeypatch.setattr(batch, "recorded", asked)
    assert scanner.awaits(sync_id)
    scanner.run_once()
    assert while_asked == [True]
    assert scanner.awaits(sync_id)
    assert not scanner.awaits(other)


# another folder under the same name


def replace_folder(world: World) -> None:
    (world.root / "sync").rename(world.root / "sync.old")
    (world.root / "sync").mkdir()


def remove_folder(world: World) -> None:
    (world.root / "sync").rename(world.root / "sync.old")


@pytest.mark.parametrize("change", [replace_folder, remove_folder])
def test_another_folder_of_the_same_name_is_watched(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch, change: Callable[[World], None]
) -> None:
    world.put(photo("a"))
    watching = Watching(world, kind, monkeypatch)
    watching.arm()
    try:
        change(world)
        watching.watcher.run_once()
        (world.root / "sync").mkdir(exist_ok=True)
        watching.forget_listing()
        watching.arm()
        sync_id = new_sync_id()
        write_sentinel(world, sync_id)
        until(lambda: sync_id in watching.all_named)
        assert watching.watcher.kind == kind
    finally:
        watching.watcher.stop()


def test_a_folder_that_comes_late_is_watched_by_inotify(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.root / "sync").rmdir()
    watching = Watching(world, "inotify", monkeypatch)
    try:
        watching.watcher.run_once()
        assert watching.watcher.kind == "poll", "there is nothing to watch yet"
        (world.root / "sync").mkdir()
        watching.watcher.run_once()
        assert watching.watcher.kind == "inotify"
    finally:
        watching.watcher.stop()

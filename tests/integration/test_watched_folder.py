"""The watched folder itself changes: renamed, deleted, made again, replaced, missing when the watch starts."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.pipeline import watcher
from ingestd.pipeline.watcher import Watcher
from support.scanning import Clock, write_sentinel
from support.wait import until
from support.world import World, new_sync_id


class Watch:
    """A watcher by inotify, and what it named."""

    def __init__(self, world: World) -> None:
        self.named: set[str] = set()
        self.armed = 0
        mount = world.context(mount={"watch": "inotify"}).mount
        self.watcher = Watcher(mount, self.named.update, lambda _sync_id: False, self._arm)

    def _arm(self) -> None:
        self.armed += 1


@pytest.fixture
def watch(world: World) -> Iterator[Watch]:
    made = Watch(world)
    yield made
    made.watcher.stop()


def rename_and_make(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.mkdir()


def delete_and_make(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def exchange(folder: Path) -> None:
    prepared = folder.with_name("prepared")
    prepared.mkdir()
    folder.rename(folder.with_name("old"))
    prepared.rename(folder)


def there_and_back(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.with_name("old").rename(folder)


def touch_and_chmod(folder: Path) -> None:
    os.utime(folder)
    folder.chmod(0o700)


@pytest.mark.parametrize("change", [rename_and_make, delete_and_make, exchange, there_and_back, touch_and_chmod])
def test_bundles_are_noticed_after_the_folder_was_changed(
    world: World, watch: Watch, change: Callable[[Path], None]
) -> None:
    watch.watcher.run_once()
    change(world.root / "sync")
    if change is delete_and_make:
        # The watch ends in its own thread, and the new folder may have the inode of the old one.
        observer = watch.watcher._observer
        assert observer is not None
        until(lambda: not any(emitter.is_alive() for emitter in observer.emitters))
    watch.watcher.run_once()
    assert watch.watcher.kind == "inotify"
    assert watch.armed == (1 if change in (there_and_back, touch_and_chmod) else 2), "armed again means listed again"
    sync_id = new_sync_id()
    write_sentinel(world, sync_id)
    until(lambda: sync_id in watch.named)


def test_inotify_is_tried_again_when_it_could_not_be_had(
    world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def exhausted(*_arguments: object) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(watcher, "time", clock)
    with monkeypatch.context() as patch:
        patch.setattr(Watcher, "_inotify", exhausted)
        for later in (0, 50, 20):
            clock.now += later
            watch.watcher.run_once()
            assert watch.watcher.kind == "poll"
        assert watch.armed == 2
    clock.now += 50
    watch.watcher.run_once()
    assert watch.watcher.kind == "poll", "it was tried a moment ago"
    clock.now += 20
    watch.watcher.run_once()
    assert watch.watcher.kind == "inotify"
    assert watch.armed == 3, "what came in between is listed"

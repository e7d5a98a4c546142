"""A plain folder as the mount, and items in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingestd.config import MountSettings
from ingestd.format.entry import Entry, File
from ingestd.mount.access import Mount
from ingestd.mount.reader import ItemReader
from ingestd.mount.records import Reading
from support.world import World, md5


def void(_value: object) -> None:
    pass


@contextmanager
def absent_mount(world: World) -> Iterator[None]:
    """The root is not there until the end of the block."""
    away = world.root.with_name("away")
    world.root.rename(away)
    try:
        yield
    finally:
        away.rename(world.root)


class Folder:
    """An assets root with items; `read` reads them as an import does."""

    def __init__(self, root: Path) -> None:
        (root / "sync").mkdir(parents=True)
        self.root = root
        self.entries: list[Entry] = []
        self.pauses: list[float] = []

    def item(self, name: str, *documents: bytes, files: tuple[File, ...] = ()) -> Entry:
        """A new item with these documents."""
        path = f"photo/{md5(name)}"
        data = self.root / path / "source" / "data"
        data.mkdir(parents=True)
        for number, content in enumerate(documents):
            (data / f"{number:04d}.json").write_bytes(content)
        self.entries.append(Entry(len(self.entries), "photo", md5(name), "0" * 64, path=path, files=files))
        return self.entries[-1]

    def mount(self, **settings: Any) -> Mount:
        return Mount(MountSettings(**{"root": self.root, "require_mount": False, **settings}))

    def reader(self, mount: Mount, on_bytes: Callable[[int], None] = void) -> ItemReader:
        return ItemReader(mount, mount.check(), self.pauses.append, on_bytes)

    def read(self, mount: Mount, on_bytes: Callable[[int], None] = void) -> list[Reading]:
        """The readings of all items, chunk after chunk, without any pause between tries."""
        reader = self.reader(mount, on_bytes)
        found: list[Reading] = []
        while len(found) < len(self.entries):
            found += reader.read(self.entries[len(found) :]).values()
        return found

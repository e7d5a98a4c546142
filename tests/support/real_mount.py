"""A mount on real folders, and what tests do to its helpers and its root."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from ingestd.format.entry import Entry, File
from ingestd.mount.access import Mount
from support.processes import helpers
from support.world import md5

MEMORY = Path("/dev/shm")
SOON, LATE = 0.2, 60.0
MakeMount = Callable[..., Mount]


def void(_value: object) -> None:
    pass


def freeze_helpers(mount: Mount, deadline: float = SOON) -> set[int]:
    """Stops the present helpers, as a hanging mount does; `mount` gives up on them after `deadline` seconds."""
    for pid in helpers():
        os.kill(pid, signal.SIGSTOP)
    set_deadline(mount, deadline)
    return helpers()


def set_deadline(mount: Mount, seconds: float) -> None:
    mount.settings = mount.settings.model_copy(update={"deadline": seconds})


def replace_root(root: Path, target: Path | str) -> None:
    link = root.with_name("new")
    link.symlink_to(target)
    link.replace(root)


def entry(root: Path, name: str, *, files: tuple[File, ...] = ()) -> Entry:
    """An item whose folder is there, with a provenance document."""
    folder = root / "photo" / md5(name) / "source"
    folder.mkdir(parents=True)
    (folder / "source.json").write_text(f'{{"name": "{name}"}}')
    ordinal = len(list((root / "photo").iterdir()))
    return Entry(ordinal, "photo", md5(name), "0" * 64, path=f"photo/{md5(name)}", files=files)


def refuse_pause(_seconds: float) -> None:
    raise AssertionError("there is nothing to wait for")

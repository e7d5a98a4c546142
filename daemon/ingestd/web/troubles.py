"""What keeps this host from scanning and importing, in words for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ingestd.mount.access import Mount
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import host
from ingestd.web.hooks import Hooks


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, the cause as far as it is known, what follows from it, and since when (naive UTC)."""

    title: str
    cause: str
    meaning: str
    since: datetime | None = None


class Troubles:
    """The troubles of this daemon and its mount, as of their last checks; asks neither of them."""

    def __init__(self, context: Context, hooks: Hooks) -> None:
        self._context, self._hooks = context, hooks

    def __call__(self) -> list[Trouble]:
        return [*_of_mount(self._context.mount), *self._of_parts()]

    def _of_parts(self) -> Iterator[Trouble]:
        if silent := self._hooks.health():
            meaning = "systemd restarts the service while that lasts. Other hosts go on."
            yield Trouble(f"ingestd is not well on {host()}", "; ".join(silent), meaning)
        if waiting := self._hooks.lacking():
            meaning = "They go on by themselves. The limits of the service, or of the machine, may be too low."
            cause = f"too few descriptors, threads or processes, or too little memory for: {', '.join(waiting)}"
            yield Trouble(f"{host()} is short of resources", cause, meaning)


def _of_mount(mount: Mount) -> Iterator[Trouble]:
    if not mount.up and mount.error is not None:  # before the first check nothing is known
        meaning = "This host neither scans nor imports until it is back. Nothing counts as missing."
        yield Trouble(f"The mount is unavailable on {host()}", mount.problem, meaning, mount.lost_since)
    if mount.up and mount.listing_problem is not None:
        meaning = "What the listing names is imported. Other bundles are found once it ends."
        yield Trouble(f"sync/ cannot be listed to its end on {host()}", mount.listing_problem, meaning)
    if (problem := mount.hanging_problem) is not None:
        meaning = "This host reads no more items until some of them end."
        yield Trouble(f"Too many reads hang in the mount on {host()}", problem, meaning)

"""What the interface may ask of the rest of the daemon, connected by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hooks:
    """No callable may wait for anything."""

    on_queued: Callable[[], None]
    """wakes those who claim"""
    rescan: Callable[[], None]
    """wakes the scanner for a full scan"""
    health: Callable[[], list[str]]
    """why this daemon is not well; empty if it is. Waiting for the database or the mount is no reason"""

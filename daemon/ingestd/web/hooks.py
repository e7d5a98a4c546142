"""What the interface may ask of the rest of the daemon, connected by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass

from ingestd.pipeline.demands import ScanOutcome


@dataclass(frozen=True, slots=True)
class Hooks:
    """No callable may wait for anything."""

    on_queued: Callable[[], None]
    """wakes those who claim"""
    rescan: Callable[[], int]
    """wakes the scanner for a full scan; the number of that scan"""
    scanned: Callable[[int], ScanOutcome | None]
    """what came of the scan of that number; None if this process does not know it"""
    health: Callable[[], list[str]]
    """why this daemon is not well; empty if it is. Waiting for the database or the mount is no reason"""

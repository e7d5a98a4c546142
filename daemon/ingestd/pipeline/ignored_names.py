"""Warns of sentinels that are ignored, each once: who delivers a bundle may wait for it, and find out here."""

import structlog

from ingestd.mount.records import Listing

log = structlog.get_logger()

MAX_WARNINGS = 20
"""ignored sentinels that one scan logs by name"""


class IgnoredNames:
    """The ignored sentinels of the last listing. For the scanner's thread only."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def warn(self, listing: Listing) -> None:
        """Logs those that the listing before did not have."""
        new = sorted(listing.invalid_names - self._names)
        for name in new[:MAX_WARNINGS]:
            log.warning("sentinel_ignored", name=name, reason="its name is not a lower-case UUID")
        if len(new) > MAX_WARNINGS:
            log.warning("sentinels_ignored", count=len(new) - MAX_WARNINGS, reason="not named after a lower-case UUID")
        self._names = listing.invalid_names

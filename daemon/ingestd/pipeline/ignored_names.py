"""Warns of names that look like sentinels and are ignored, each once: people may wait for these bundles."""

import structlog

from ingestd.mount.listing_receiver import MAX_INVALID
from ingestd.mount.records import Listing

log = structlog.get_logger()

MAX_WARNINGS = 20
"""ignored names that one scan logs"""
REASON = "a sentinel is named SYNC_ID.ready, with the sync_id in lower case and nothing else; rename it"


class IgnoredNames:
    """The ignored names that were logged; no more than a listing keeps. For the scanner's thread only."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._count = 0

    def warn(self, listing: Listing) -> None:
        """Logs those that the listing before did not have, and how many more there are."""
        ignored = listing.ignored
        new = [name for name in ignored if name not in self._names]
        for name in new[:MAX_WARNINGS]:
            log.warning("sentinel_ignored", name=name, reason=REASON)
        count = listing.invalid_count - MAX_INVALID
        more = max(0, len(new) - MAX_WARNINGS) + max(0, count - max(0, self._count))
        if more:
            log.warning("sentinels_ignored", count=more, reason=REASON)
        self._names, self._count = set(ignored), count

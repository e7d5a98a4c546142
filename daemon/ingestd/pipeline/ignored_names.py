"""Warns of names that look like sentinels and are ignored, each once: people may wait for these bundles."""

from collections.abc import Sequence

import structlog

from ingestd.mount.listing_receiver import MAX_INVALID
from ingestd.mount.records import Listing

log = structlog.get_logger()

MAX_WARNINGS = 20
"""ignored names that one scan logs"""
REASON = "a sentinel is named SYNC_ID.ready, with the sync_id in lower case and nothing else; rename it"


class IgnoredNames:
    """The ignored names that were logged; no more than a listing keeps. For the scanner's thread only.

    `first` are the first MAX_WARNINGS of the last listing, in order, and `count` is the number of all.
    """

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0
        self._names: set[str] = set()
        self._unkept = 0

    def warn(self, listing: Listing) -> None:
        """Logs those that the listing before did not have, and how many more there are."""
        ignored = listing.ignored
        new = [name for name in ignored if name not in self._names]
        unkept = max(0, listing.invalid_count - MAX_INVALID)
        log_ignored(new[:MAX_WARNINGS], len(new) + max(0, unkept - self._unkept))
        self.first, self.count = ignored[:MAX_WARNINGS], len(ignored) + unkept
        self._names, self._unkept = set(ignored), unkept


def log_ignored(names: Sequence[str], count: int) -> None:
    """Logs some of `count` ignored names, and how many more there are."""
    for name in names:
        log.warning("sentinel_ignored", name=name, reason=REASON)
    if count > len(names):
        log.warning("sentinels_ignored", count=count - len(names), reason=REASON)

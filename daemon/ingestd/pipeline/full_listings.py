"""The listings of full scans: names are passed on while one takes long, and an unchanged folder is not listed again."""

import time
from collections.abc import Callable, Sequence

from ingestd.mount.records import Listing, split_ids
from ingestd.pipeline import broken_listings
from ingestd.pipeline.context import Context
from ingestd.service import tick

EARLY_SECONDS = 0.5
"""after which the names of a listing are passed on before it ends"""


class FullListings:
    """Lists the hand-over folder; keeps the last complete listing if its stamp shows what changes. For one thread."""

    def __init__(self, context: Context, on_early: Callable[[list[str]], None]) -> None:
        self._context, self._on_early = context, on_early
        self._last = Listing()

    def forget(self) -> None:
        """Has the next listing made, whatever is known of the folder."""
        self._last = Listing()

    def take(self, listing: Listing, awaited: Sequence[str]) -> Listing:
        """Lists into `listing`; returns it, or the last one if the folder is unchanged.

        Raises MountUnavailable, and ListingEndless; `listing` then has what was listed before.
        """
        early_at = time.monotonic() + EARLY_SECONDS

        def on_part(ids: bytes) -> None:
            tick()
            if time.monotonic() >= early_at:
                self._on_early(split_ids(ids))

        known_stamp = "" if awaited else self._last.stamp
        broken_listings.list_sentinels(self._context, listing, on_part, awaited, known_stamp)
        if listing.is_unchanged:
            return self._last
        self._last = listing if listing.stamp else Listing()
        return listing

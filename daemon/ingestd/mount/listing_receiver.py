"""The daemon's side of listing sentinels: puts the parts of a listing together, and gives up one that does not end."""

import time

from ingestd.errors import ListingEndless, MountUnavailable
from ingestd.mount import wire
from ingestd.mount.records import SYNC_ID_LENGTH, Listing

MAX_NAMES, MAX_SENTINELS, MAX_SECONDS = 4_000_000, 1_000_000, 300.0
"""names in a listing, sentinels among them, and seconds for it, after which it counts as endless"""
MAX_INVALID = 1000
"""invalid names that are kept"""


class ListingReceiver:
    """Takes the parts of one listing into `listing` until it `is_complete`."""

    def __init__(self, root: str, listing: Listing) -> None:
        self.listing = listing
        self.is_complete = False
        self._root = root
        self._name_count = self._sentinel_count = 0
        self._began = time.monotonic()

    def add(self, reply: wire.Reply) -> bytes:
        """The sync_ids of a part. Raises MountUnavailable for a reply that is not a part, and ListingEndless."""
        if not isinstance(reply, wire.ListingPart):
            raise MountUnavailable(f"the mount cannot be listed: {wire.problem_of(reply)}")
        self._name_count += reply.name_count
        self._sentinel_count += len(reply.ids) // SYNC_ID_LENGTH
        if reply.ids:
            self.listing.parts.append(reply.ids)
        self.listing.manifests.update(reply.manifests)
        self.listing.are_files &= reply.are_files
        self.listing.stamp, self.listing.is_unchanged = reply.stamp, reply.is_unchanged
        self.listing.invalid_count += len(reply.invalid_names)
        room = MAX_INVALID - len(self.listing.invalid_names)
        self.listing.invalid_names.update(reply.invalid_names[: max(0, room)])
        self.is_complete = reply.is_last
        if not self.is_complete:
            self._require_end()
        return reply.ids

    def _require_end(self) -> None:
        seconds = time.monotonic() - self._began
        many = self._name_count > MAX_NAMES or self._sentinel_count > MAX_SENTINELS
        if many or seconds > MAX_SECONDS:
            counted = f"{self._name_count} names, {len(self.listing.sync_ids)} different sentinels, in {seconds:.0f} s"
            remedy = "mount it again, or move bundles elsewhere that were imported long ago"
            raise ListingEndless(f"the listing of {self._root}/sync does not end ({counted}); {remedy}")

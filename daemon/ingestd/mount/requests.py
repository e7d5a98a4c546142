"""Requests to a mount helper, as the settings of the mount say, and as far as listings have not answered them."""

import math
import time
from collections.abc import Callable, Sequence

from ingestd.config import MountSettings
from ingestd.format.fields import Limits
from ingestd.mount import wire
from ingestd.mount.records import ItemRequest, Listing

LISTED_SECONDS = 10.0
"""for which a listing counts: on a remote mount, all is listed every mount.poll_interval"""


class Requests:
    """Makes the requests that read manifests and items below one root. `is_remote()`: each look-up is a round trip."""

    def __init__(self, settings: MountSettings, is_remote: Callable[[], bool]) -> None:
        self._root, self._settings, self._is_remote = str(settings.root), settings, is_remote
        self._listing, self._listed_at = Listing(), -math.inf
        self._limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})

    def note_listed(self, listing: Listing) -> None:
        """Notes a complete listing: what it shows need not be looked up again for a while."""
        if listing.are_files and not listing.is_unchanged:
            self._listing, self._listed_at = listing, time.monotonic()

    def manifest(
        self, sync_id: str, known_sha256: str | None, *, only_short: bool, as_listed: bool
    ) -> wire.ReadManifest:
        """`as_listed`: on a remote mount, a sentinel that was just listed need not be looked up."""
        is_listed = as_listed and self._is_remote() and self._is_listed(sync_id)
        most = self._settings.max_manifest_bytes
        return wire.ReadManifest(self._root, sync_id, most, self._limits, known_sha256, only_short, is_listed)

    def _is_listed(self, sync_id: str) -> bool:
        return time.monotonic() - self._listed_at <= LISTED_SECONDS and sync_id in self._listing.sync_ids

    def digests(self, sync_ids: Sequence[str], seconds: float, *, announced: bool = False) -> wire.DigestManifests:
        most = self._settings.max_manifest_bytes
        return wire.DigestManifests(self._root, list(sync_ids), most, seconds, announced)

    def items(self, items: list[ItemRequest], window: int, workers: int) -> wire.ReadItems:
        own = self._settings
        limits = wire.DocumentLimits(own.max_document_bytes, own.max_item_documents, own.max_item_document_bytes)
        return wire.ReadItems(self._root, items, own.verify, limits, window, workers, own.deadline)

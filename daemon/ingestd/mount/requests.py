"""Requests to a mount helper, as the settings of the mount say."""

from collections.abc import Sequence

from ingestd.config import MountSettings
from ingestd.format.fields import Limits
from ingestd.mount import wire
from ingestd.mount.records import ItemRequest


class Requests:
    """Makes the requests that read manifests and items below one root."""

    def __init__(self, settings: MountSettings) -> None:
        self._root, self._settings = str(settings.root), settings
        self._limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})

    def manifest(self, sync_id: str, known_sha256: str | None, *, only_short: bool) -> wire.ReadManifest:
        most = self._settings.max_manifest_bytes
        return wire.ReadManifest(self._root, sync_id, most, self._limits, known_sha256, only_short)

    def digests(self, sync_ids: Sequence[str], seconds: float, *, announced: bool = False) -> wire.DigestManifests:
        most = self._settings.max_manifest_bytes
        return wire.DigestManifests(self._root, list(sync_ids), most, seconds, announced)

    def items(self, items: list[ItemRequest], window: int, workers: int) -> wire.ReadItems:
        own = self._settings
        limits = wire.DocumentLimits(own.max_document_bytes, own.max_item_documents, own.max_item_document_bytes)
        return wire.ReadItems(self._root, items, own.verify, limits, window, workers, own.deadline)

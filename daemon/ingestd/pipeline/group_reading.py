"""The items of one or several small bundles, which are read with one request."""

from collections.abc import Callable, Sequence

import msgspec.structs

from ingestd.errors import MountUnavailable
from ingestd.format.entry import Entry
from ingestd.model import Action
from ingestd.mount.access import Mount
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.reader import is_missing, requests_for
from ingestd.mount.records import Reading
from ingestd.pipeline.ahead import MAX_ITEMS
from ingestd.pipeline.delivery import Delivery

READING_SECONDS = 2.0
"""of silence, or for all of a group, after which bundles are read one by one"""
UNREAD = Reading(-1, problem="it was not read")


class GroupReading:
    """What is read of some bundles: `requests`, in the order of the bundles. The ordinal of each is its place."""

    def __init__(self, group: Sequence[Delivery]) -> None:
        self._entries: dict[str, dict[int, Entry]] = {delivered.sync_id: {} for delivered in group}
        owners = [(delivered.sync_id, entry) for delivered in group for entry in _entries_of(delivered)]
        for place, (sync_id, entry) in enumerate(owners):
            self._entries[sync_id][place] = msgspec.structs.replace(entry, ordinal=place)
        self.requests = requests_for(entry for of_one in self._entries.values() for entry in of_one.values())
        self._requests = {request.ordinal: request for request in self.requests}

    def of(self, delivered: Delivery, readings: ReadingsByOrdinal) -> ReadingsByOrdinal | None:
        """The readings of one bundle; None unless all of its items were read. `readings` of all bundles, by place."""
        own = self._entries[delivered.sync_id]
        if any(self._is_missing(place, readings) for place in own):
            return None
        ordinals = (entry.ordinal for entry in _entries_of(delivered))
        found = (readings.get(place, Reading(place)) for place in own)
        return {
            ordinal: msgspec.structs.replace(reading, ordinal=ordinal)
            for ordinal, reading in zip(ordinals, found, strict=True)
        }

    def _is_missing(self, place: int, readings: ReadingsByOrdinal) -> bool:
        """Of an entry without a request there is nothing to read."""
        request = self._requests.get(place)
        return request is not None and is_missing(request, readings.get(place, UNREAD))


def read_again(
    mount: Mount, group: Sequence[Delivery], on_bytes: Callable[[int], None], deadline: float
) -> dict[str, ReadingsByOrdinal]:
    """What was read of the items of those bundles whose manifests are the same as before, and all of whose items are.

    Raises MountUnavailable, and what `on_bytes(count)` raises, which is called for each sign of life.
    """
    if mount.hung_manifests or mount.hanging_items():
        return {}
    reading = GroupReading(group)
    wanted = [one.sync_id for one in group]
    digests, found = mount.read_announced(wanted, reading.requests, on_bytes, deadline)
    by_place = {one.ordinal: one for one in found}
    same = {one.sync_id: reading.of(one, by_place) for one in group if digests.get(one.sync_id) == one.sha256}
    return {sync_id: readings for sync_id, readings in same.items() if readings is not None}


def read_alone(mount: Mount, delivered: Delivery, on_bytes: Callable[[int], None]) -> ReadingsByOrdinal | None:
    """What was read of all items of a small bundle whose manifest is the same as before; None if that is not so."""
    if delivered.index.item_count > MAX_ITEMS:
        return None
    try:
        return read_again(mount, [delivered], on_bytes, READING_SECONDS).get(delivered.sync_id)
    except MountUnavailable:
        return None


def _entries_of(delivered: Delivery) -> list[Entry]:
    """The entries whose items an import reads."""
    manifest = delivered.manifest
    return [] if manifest is None or manifest.action is Action.REMOVE else list(manifest.standing())

"""Reads the items of several small bundles with one request."""

from collections.abc import Callable, Sequence

import msgspec.structs

from ingestd.format.entry import Entry
from ingestd.model import Action
from ingestd.mount.attempt import ReadingsByOrdinal
from ingestd.mount.reader import is_missing, requests_for
from ingestd.mount.records import ItemRequest, Reading
from ingestd.pipeline.delivery import Delivery

UNREAD = Reading(-1, problem="it was not read")


def readings_of(
    group: Sequence[Delivery], read: Callable[[list[ItemRequest]], ReadingsByOrdinal]
) -> dict[str, ReadingsByOrdinal]:
    """The readings of those bundles of which all items could be read, by sync_id.

    `read` reads what is requested; the ordinal of a request is its place.
    """
    owners = [(delivered.sync_id, entry) for delivered in group for entry in entries_of(delivered)]
    requests = requests_for(msgspec.structs.replace(entry, ordinal=place) for place, (_, entry) in enumerate(owners))
    readings = read(requests)
    missing = {owners[one.ordinal][0] for one in requests if is_missing(one, readings.get(one.ordinal, UNREAD))}
    found: dict[str, ReadingsByOrdinal] = {one.sync_id: {} for one in group if one.sync_id not in missing}
    for place, (sync_id, entry) in enumerate(owners):
        if sync_id in found:
            reading = readings.get(place, Reading(place))
            reading.ordinal = entry.ordinal
            found[sync_id][entry.ordinal] = reading
    return found


def entries_of(delivered: Delivery) -> list[Entry]:
    """The entries whose items an import reads."""
    manifest = delivered.manifest
    return [] if manifest is None or manifest.action is Action.REMOVE else list(manifest.standing())

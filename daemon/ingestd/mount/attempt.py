"""Reading some items once, so that one that ends a helper or makes it silent costs no other item.

After such a failure the items that are left are read in smaller groups, until the one at fault was read alone.
"""

import math
from collections.abc import Callable

from ingestd.errors import HelperFailed, MountSilent
from ingestd.model import Reason
from ingestd.mount.access import READ_WINDOW, Mount
from ingestd.mount.records import ItemRequest, Reading

MAX_HELPERS_LOST = 2
"""Helpers that one item may end before it fails. A single one may have been ended by something else."""

ReadingsByOrdinal = dict[int, Reading]


class Attempt:
    """The readings of some items, in order of their ordinals.

    Suspects are items that may have caused a failure; they are read alone. `untried`: suspects that were not read alone
    yet, so nothing counts against them. Items from the ordinal `end` on do not fit into memory and are not read.
    """

    def __init__(
        self, mount: Mount, items: list[ItemRequest], on_bytes: Callable[[int], None], bundle: str = ""
    ) -> None:
        self._mount, self._all, self._on_bytes, self._bundle = mount, items, on_bytes, bundle
        self._suspects: set[int] = set()
        self._is_silent = False
        self.readings: ReadingsByOrdinal = {}
        self.untried: set[int] = set()
        self.end = math.inf

    @property
    def items(self) -> list[ItemRequest]:
        return [item for item in self._all if item.ordinal < self.end]

    def read(self, items: list[ItemRequest]) -> None:
        """Reads some of the items, again if need be. Raises MountUnavailable when that is not about an item."""
        together = [item for item in items if item.ordinal not in self._suspects]
        groups = [[item] for item in reversed(items) if item.ordinal in self._suspects] + [together]
        while groups:
            group = [item for item in groups.pop() if item.ordinal < self.end]
            if len(group) == 1:
                self._read_alone(group[0])
            elif group:
                groups += self._read_group(group)

    def _read_group(self, group: list[ItemRequest]) -> list[list[ItemRequest]]:
        """Reads several items with one request; returns the groups in which to read those left after a failure."""
        try:
            self._request(group)
        except MountSilent as error:
            # A helper sends what it has before it falls silent: the first item without a reading is being read.
            self._is_silent = True
            rest = self._unread(group)
            for item in rest[:1]:
                self._suspect(item, str(error))
                self.untried.add(item.ordinal)
            return [rest[1:]]
        except HelperFailed:
            rest = self._unread(group)
            middle = (len(rest) + 1) // 2
            return [rest[middle:], rest[:middle]]
        return []

    def _read_alone(self, item: ItemRequest) -> None:
        self.untried.discard(item.ordinal)
        for _ in range(MAX_HELPERS_LOST):
            try:
                self._request([item])
                return
            except MountSilent as error:
                self._suspect(item, str(error))
                return
            except HelperFailed as error:
                problem = f"reading it ended {MAX_HELPERS_LOST} helper processes, one after another: {error}"
                self.readings[item.ordinal] = _unreadable(item, problem)

    def _request(self, group: list[ItemRequest]) -> None:
        """Sends one request and keeps the readings. Items for which there is no memory are cut off."""
        for item in group:
            self.readings.pop(item.ordinal, None)
        if not (group := self._without_hanging(group)):
            return
        window = READ_WINDOW - sum(reading.size for reading in self.readings.values())
        if window > 0 or group[0] is self._all[0]:
            readings = self._mount.read_items(
                group, self._on_bytes, max(0, window), bundle=self._bundle, in_threads=self._is_silent
            )
            for reading in readings:
                self._keep(reading, is_alone=len(group) == 1)
        for item in self._unread(group)[:1]:
            self.end = item.ordinal
            self.readings = {ordinal: kept for ordinal, kept in self.readings.items() if ordinal < self.end}
            self.untried = {ordinal for ordinal in self.untried if ordinal < self.end}

    def _without_hanging(self, group: list[ItemRequest]) -> list[ItemRequest]:
        """The items that are worth a try: another read of one that hangs in the kernel would hang, too."""
        if not (hanging := self._mount.hanging_items()):
            return group
        for item in group:
            if item.path in hanging:
                self._suspect(item, "an earlier read of it still hangs in the mount")
        return [item for item in group if item.path not in hanging]

    def _keep(self, reading: Reading, *, is_alone: bool) -> None:
        self.readings[reading.ordinal] = reading
        if reading.unforeseen and not is_alone:
            self._suspects.add(reading.ordinal)
            self.untried.add(reading.ordinal)

    def _unread(self, group: list[ItemRequest]) -> list[ItemRequest]:
        return [item for item in group if item.ordinal not in self.readings]

    def _suspect(self, item: ItemRequest, problem: str) -> None:
        self._suspects.add(item.ordinal)
        self.readings[item.ordinal] = _unreadable(item, problem)
        self.readings[item.ordinal].transient = True


def _unreadable(item: ItemRequest, why: str) -> Reading:
    return Reading(item.ordinal, reason=Reason.FILE_UNREADABLE, problem=f"{item.path}: {why}")

"""The daemon's side of reading items: checks that a helper answers what was asked, and puts large items together."""

from collections.abc import Callable, Iterator

from ingestd.errors import MountGone
from ingestd.mount.helper_process import HelperProcess
from ingestd.mount.records import Document, ItemRequest, Reading, SpooledDocument
from ingestd.mount.spool import Spool
from ingestd.mount.wire import Failure, ProtocolError, Readings, Reply

MAX_PARTS_IN_MEMORY = 4 * 2**20


class ReadingsReceiver:
    """Takes the replies to one request until it `is_complete`.

    A large item arrives in parts. So that several at a time do not add up, most of its documents are kept in a file.
    """

    def __init__(self, items: list[ItemRequest]) -> None:
        self._paths = {item.ordinal: item.path for item in items}
        self._ordinals = iter(list(self._paths))
        self._expected = next(self._ordinals, None)
        self._has_any = not items
        self._documents: list[Document] = []
        self._spool = Spool(MAX_PARTS_IN_MEMORY)
        self.is_complete = False
        self.hanging: set[str] = set()
        """the folders of items whose reads hang in the helper: after its last reply"""

    @property
    def awaited(self) -> set[str]:
        """The folder of the item whose reading comes next."""
        return set() if self._expected is None else {self._paths[self._expected]}

    def add(self, reply: Reply) -> list[Reading]:
        """The readings of a reply, in the order in which they were asked for. Raises ProtocolError."""
        if not isinstance(reply, Readings):
            raise ProtocolError(f"unexpected {type(reply).__name__}")
        if not (reply.readings or reply.is_last):
            raise ProtocolError("a reply without readings")
        whole = [reading for reading in map(self._checked, reply.readings) if reading is not None]
        if reply.is_last and (self._documents or not self._has_any):
            raise ProtocolError("it ended without a whole reading")
        self.is_complete = reply.is_last
        self.hanging = {self._paths[ordinal] for ordinal in reply.hanging if ordinal in self._paths}
        return whole

    def _checked(self, reading: Reading) -> Reading | None:
        """The whole reading of an item; None if this is a part of it."""
        if reading.ordinal != self._expected:
            raise ProtocolError(f"a reading of item {reading.ordinal}, where {self._expected} is next")
        if reading.is_partial:
            self._documents += map(self._spooled, reading.documents)
            return None
        self._documents += reading.documents
        reading.documents, self._documents = self._documents, []
        self._expected, self._has_any = next(self._ordinals, None), True
        return reading

    def _spooled(self, document: Document) -> Document:
        read = self._spool.keep(document.content)
        return SpooledDocument(document.kind, document.sha256, b"", document.size, read)


def receive_readings(
    helper: HelperProcess, items: list[ItemRequest], seconds: float, on_bytes: Callable[[int], None]
) -> Iterator[Reading]:
    """What a helper reads of some items, as it arrives; afterwards, what it hangs at."""
    receiver = ReadingsReceiver(items)
    while not receiver.is_complete:
        helper.hangs_at = receiver.awaited
        reply = helper.receive(seconds, on_bytes)
        if isinstance(reply, Failure):
            raise MountGone(f"items cannot be read: {reply.problem}")
        yield from receiver.add(reply)
        on_bytes(0)
    helper.hangs_at = receiver.hanging

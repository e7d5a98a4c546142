"""Documents of large items are kept in a file as they arrive, so that those of several workers do not add up."""

import tracemalloc
from collections.abc import Iterator

from ingestd.mount.readings_receiver import MAX_PARTS_IN_MEMORY, ReadingsReceiver
from ingestd.mount.records import Document, ItemRequest, Reading, SpooledDocument
from ingestd.mount.wire import Readings

MIB = 2**20
ITEM = ItemRequest(7, "photo/7", ())


def text(number: int) -> bytes:
    return b'"%04d"' % number + b" " * (4 * MIB - 6)


def replies(parts: int) -> Iterator[Readings]:
    """A large item as a helper sends it: one document a reply, the last one with the reading."""
    for number in range(parts):
        yield Readings([Reading(7, [Document("photo", str(number), text(number))], is_partial=True)])
    yield Readings([Reading(7, [Document("photo", str(parts), text(parts))])], is_last=True)


def received(parts: int) -> Reading:
    receiver = ReadingsReceiver([ITEM])
    [reading] = [reading for reply in replies(parts) for reading in receiver.add(reply)]
    assert receiver.is_complete
    return reading


def test_a_large_item_needs_little_memory() -> None:
    tracemalloc.start()
    try:
        reading = received(15)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert reading.size == 64 * MIB
    assert held < MAX_PARTS_IN_MEMORY + 5 * MIB


def test_its_documents_can_be_read_again_and_again() -> None:
    reading = received(15)
    for _attempt in range(2):
        assert [document.text for document in reading.documents] == [text(number) for number in range(16)]
    assert [document.sha256 for document in reading.documents] == [str(number) for number in range(16)]


def test_an_item_of_usual_size_is_kept_as_it_came() -> None:
    reading = received(0)
    assert not isinstance(reading.documents[0], SpooledDocument)
    assert reading.documents[0].text == text(0)

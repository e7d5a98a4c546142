"""A checked manifest on its way from the process that parses it to the one that uses it. Pure.

Entries travel and are kept as encoded records in a few large buffers: a million of them take about as much room as
their manifest. Where the buffers are kept is the caller's choice.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from ingestd.format.container import Container
from ingestd.format.entry import Entry, parse_entry
from ingestd.model import Action

BLOCK_RECORDS, BLOCK_BYTES = 4096, 2**18
_END = "I"

Kind = Literal["items", "containers"]
Keep = Callable[[bytes], Callable[[], bytes]]
"""Keeps some bytes, and returns a function that gives them back."""


class Envelope(msgspec.Struct, tag=True, frozen=True):
    """A valid envelope. Times are naive UTC; `summary` is the part of it that a batch stores."""

    sync_id: str
    type: str = msgspec.field(name="bundle_type")  # `type` is the tag
    action: Action
    created_at: datetime
    completed_at: datetime
    source_host: str | None
    prior_sync_id: str | None
    summary: dict[str, Any]
    item_count: int
    container_count: int


class Block(msgspec.Struct, tag=True, frozen=True):
    """Some consecutive records: their bytes, and where each ends, as an array of 32-bit numbers."""

    kind: Kind
    data: bytes
    ends: bytes


encode_record = msgspec.msgpack.Encoder().encode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_container = msgspec.msgpack.Decoder(Container).decode
_ENTRY_MARK = encode_record(Entry(0, "", "", ""))[0]
"""The first byte of an encoded entry; no JSON begins with it."""


def entry_record(entry: Entry, raw: msgspec.Raw | bytes) -> bytes:
    """An entry as a record: encoded, or a bad one as its JSON if that is shorter."""
    record = encode_record(entry)
    return record if entry.problem is None or len(raw) >= len(record) else bytes(raw)


def blocks(kind: Kind, records: Iterable[bytes]) -> Iterator[Block]:
    """Records in blocks of bounded size; a record that is larger has a block to itself."""
    part: list[bytes] = []
    ends = array(_END)
    size = 0
    for record in records:
        part.append(record)
        size += len(record)
        ends.append(size)
        if size >= BLOCK_BYTES or len(part) >= BLOCK_RECORDS:
            yield Block(kind, b"".join(part), ends.tobytes())
            part, ends, size = [], array(_END), 0
    if part:
        yield Block(kind, b"".join(part), ends.tobytes())


def in_memory(data: bytes) -> Callable[[], bytes]:
    return lambda: data


class RecordStore:
    """Encoded records by ordinal, decoded on demand. Thread-safe once it is filled."""

    def __init__(self, keep: Keep = in_memory) -> None:
        self._keep = keep
        self._blocks: list[tuple[Callable[[], bytes], array[int]]] = []
        self._last = (-1, b"")
        """number and content of the block that was used last: records are mostly used in order"""
        self._firsts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, block: Block) -> None:
        ends = array(_END, block.ends)
        self._blocks.append((self._keep(block.data), ends))
        self._firsts.append(self._count)
        self._count += len(ends)

    def entry(self, ordinal: int) -> Entry:
        record = self._record(ordinal)
        return _decode_entry(record) if record[0] == _ENTRY_MARK else parse_entry(ordinal, record)

    def container(self, ordinal: int) -> Container:
        return _decode_container(self._record(ordinal))

    def _record(self, ordinal: int) -> bytes:
        number = bisect_right(self._firsts, ordinal) - 1
        ends = self._blocks[number][1]
        place = ordinal - self._firsts[number]
        return self._data(number)[ends[place - 1] if place else 0 : ends[place]]

    def _data(self, number: int) -> bytes:
        last, data = self._last
        if last == number:
            return data
        data = self._blocks[number][0]()
        if len(data) <= 2 * BLOCK_BYTES:
            self._last = (number, data)
        return data

"""What the daemon and its mount helpers say to each other: length-prefixed MessagePack frames over a pair of pipes."""

import os
import select
import struct
import time
from typing import Literal

import msgspec

from ingestd.bundle.entry import File
from ingestd.model import Reason

_LENGTH = struct.Struct("<Q")


class Identify(msgspec.Struct, tag=True):
    """Ask: is the root there? Answer: Identity."""

    root: str


class ListSentinels(msgspec.Struct, tag=True):
    """Ask: which bundles are handed over? One listing, names only. Answer: Listing."""

    root: str


class ReadManifest(msgspec.Struct, tag=True):
    """Ask: the bytes of one manifest. Answer: Blob, or Failure."""

    root: str
    sync_id: str
    max_bytes: int


class Want(msgspec.Struct):
    """One item to read: its folder below the root, the files to verify, and whether its documents are wanted."""

    ordinal: int
    path: str
    files: tuple[File, ...]
    documents: bool = True


class ReadItems(msgspec.Struct, tag=True):
    """Ask: documents and file checks of some items. Answer: one Reading each, in order."""

    root: str
    wants: list[Want]
    verify: Literal["none", "size", "sha256"]
    max_document_bytes: int
    workers: int


class Identity(msgspec.Struct, tag=True, frozen=True):
    st_dev: int


class Listing(msgspec.Struct, tag=True):
    """`sync_ids` have a sentinel; `odd` are sentinels whose name is no lower-case UUID."""

    sync_ids: list[str]
    odd: list[str]


class Blob(msgspec.Struct, tag=True):
    data: bytes


class Document(msgspec.Struct):
    """One document as it goes into the library. `kind` is an analysis kind, or `source`; `text` is JSON."""

    kind: str
    sha256: str
    text: str


class Reading(msgspec.Struct, tag=True):
    """What was read of one item. `transient`: the problem may pass, and says nothing about the item yet."""

    ordinal: int
    documents: list[Document] = []
    bytes_read: int = 0
    reason: Reason | None = None
    problem: str | None = None
    transient: bool = False


class Failure(msgspec.Struct, tag=True):
    """The answer when the operating system refused; `missing`: there is no such file."""

    problem: str
    missing: bool = False
    too_large: bool = False


Request = Identify | ListSentinels | ReadManifest | ReadItems
Reply = Identity | Listing | Blob | Reading | Failure

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def send(fd: int, message: Request | Reply) -> None:
    """Writes one frame; blocks until it is out."""
    body = encode(message)
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, deadline: float | None = None) -> bytes | None:
    """The next frame's body; None at the end of the stream. `deadline`: monotonic seconds; TimeoutError past it."""
    head = _read_exactly(fd, _LENGTH.size, deadline)
    return None if head is None else _read_exactly(fd, _LENGTH.unpack(head)[0], deadline)


def _read_exactly(fd: int, count: int, deadline: float | None) -> bytes | None:
    parts: list[bytes] = []
    while count:
        if deadline is not None:
            _wait_readable(fd, deadline)
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _wait_readable(fd: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError

"""What the daemon and its mount helpers say to each other: length-prefixed MessagePack frames over a pair of pipes."""

import os
import select
import struct
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from ingestd.format.entry import File
from ingestd.model import Reason

_LENGTH = struct.Struct("<Q")
GLANCE_SECONDS = 0.1


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
    """Ask: documents and file checks of some items. Answer: one Reading each, in order, some at a time in Readings."""

    root: str
    wants: list[Want]
    verify: Literal["none", "size", "sha256"]
    max_document_bytes: int
    workers: int


class Identity(msgspec.Struct, tag=True, frozen=True):
    """`path` is where the root really is, if it is a link; `unique_id` is never given to another mount (0: unknown)."""

    st_dev: int
    path: str = ""
    unique_id: int = 0


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


class Reading(msgspec.Struct):
    """What was read of one item. `transient`: the problem may pass, and says nothing about the item yet.

    `absent`: a file, or the folder it is in, does not exist; on a remote file system it may only not be seen yet.
    """

    ordinal: int
    documents: list[Document] = []
    bytes_read: int = 0
    reason: Reason | None = None
    problem: str | None = None
    transient: bool = False
    absent: bool = False


class Readings(msgspec.Struct, tag=True):
    """Some readings, in order; `more_bytes` were read of files that are being verified, since the answer before."""

    readings: list[Reading] = []
    more_bytes: int = 0


class Failure(msgspec.Struct, tag=True):
    """The answer when the operating system refused; `no_sentinel`: the bundle is not handed over at all."""

    problem: str
    no_sentinel: bool = False
    too_large: bool = False


Request = Identify | ListSentinels | ReadManifest | ReadItems
Reply = Identity | Listing | Blob | Readings | Failure

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def send(
    fd: int, message: Request | Reply, deadline: float | None = None, given_up: Callable[[], bool] = lambda: False
) -> None:
    """Writes one frame; returns when it is out. As `receive` for the rest; with a deadline, `fd` must not block."""
    body = encode(message)
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        if deadline is not None:
            _wait_for(select.POLLOUT, fd, deadline, given_up)
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            continue


def receive(fd: int, deadline: float | None = None, given_up: Callable[[], bool] = lambda: False) -> bytes | None:
    """The next frame's body; None at the end of the stream.

    `deadline`: monotonic seconds; TimeoutError past it, and soon after `given_up()` holds.
    """
    head = _read_exactly(fd, _LENGTH.size, deadline, given_up)
    return None if head is None else _read_exactly(fd, _LENGTH.unpack(head)[0], deadline, given_up)


def _read_exactly(fd: int, count: int, deadline: float | None, given_up: Callable[[], bool]) -> bytes | None:
    parts: list[bytes] = []
    while count:
        if deadline is not None:
            _wait_for(select.POLLIN, fd, deadline, given_up)
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _wait_for(event: int, fd: int, deadline: float, given_up: Callable[[], bool]) -> None:
    poller = select.poll()
    poller.register(fd, event)
    while not poller.poll(min(max(0.0, deadline - time.monotonic()), GLANCE_SECONDS) * 1000):
        if given_up() or time.monotonic() >= deadline:
            raise TimeoutError("the deadline passed")

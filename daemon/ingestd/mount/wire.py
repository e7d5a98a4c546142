"""The protocol between the daemon and its mount helpers: length-prefixed MessagePack frames over a pair of pipes."""

import os
import select
import struct
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from ingestd.format.fields import Limits
from ingestd.format.manifest_index import ManifestIndex
from ingestd.format.records import Block, Envelope
from ingestd.mount.records import ItemRequest, Reading

POLL_SECONDS, LATE_SECONDS = 0.1, 0.5
"""between looks at whether a wait was cancelled; a wait that ends later than that shows that this process was paused"""
MAX_FRAME = 2**32
LENGTH = struct.Struct("<Q")


class InspectRoot(msgspec.Struct, tag=True):
    """Request: does the root exist, and which file system is it? Reply: RootInfo."""

    root: str


class ListSentinels(msgspec.Struct, tag=True):
    """Request: which bundles are handed over, and which manifests of the `awaited` ones are there?

    One listing, names only. Replies: ListingPart. With a `known_stamp`, nothing is listed if that of the folder is the
    same; None: it says nothing there.
    """

    root: str
    awaited: list[str] = []
    known_stamp: str | None = None


class ReadManifest(msgspec.Struct, tag=True):
    """Request: one manifest. Replies: ManifestHead, then its parts up to the index, or its problems.

    With the digest `known_sha256`, the head is all. Progress may come in between. `only_short`: the reply for a long
    manifest is ManifestIsLong, and it is not read. `is_listed`: its sentinel need not be looked up.
    """

    root: str
    sync_id: str
    max_bytes: int
    limits: Limits
    known_sha256: str | None = None
    only_short: bool = False
    is_listed: bool = False


class ReadManifests(msgspec.Struct, tag=True):
    """Request: several short manifests of one root. Replies: those to each of the `requests`, in this order."""

    requests: list[ReadManifest]


class DigestManifests(msgspec.Struct, tag=True):
    """Request: the digests of some manifests, in order, for so many `seconds`, but of one at least.

    `announced`: only of those whose sentinels are there. Replies: ManifestDigests, until one is the last.
    """

    root: str
    sync_ids: list[str]
    max_bytes: int
    seconds: float
    announced: bool = False


class ProbeManifest(msgspec.Struct, tag=True):
    """Request: can a manifest be read, whatever it says? Reply: Probed, once that is known; others may come before."""

    root: str
    sync_id: str


class DocumentLimits(msgspec.Struct):
    """The largest document in bytes, and how many documents an item may have, and of how many bytes as stored."""

    document_bytes: int
    item_documents: int
    item_document_bytes: int


class ReadItems(msgspec.Struct, tag=True):
    """Request: read the documents and verify the files of some items.

    Replies: Readings, in order of the items, until one is the last. Items after the first get none when the documents
    exceed `window` bytes: the daemon asks for them again when it has imported those before. With several `workers`,
    items are read in threads, and one from which nothing comes for `silence` seconds gets a reading that says that.
    """

    root: str
    items: list[ItemRequest]
    verify: Literal["none", "size", "sha256"]
    limits: DocumentLimits
    window: int
    workers: int
    silence: float


class RootInfo(msgspec.Struct, tag=True, frozen=True):
    """`path` has all links resolved; `unique_id` is never given to another mount (0: unknown), `fs_id` is statvfs's.

    `sync_inode` and `sync_dev` are those of the folder with the sentinels; 0 if there is none.
    """

    st_dev: int
    path: str = ""
    unique_id: int = 0
    fs_id: int = 0
    sync_inode: int = 0
    sync_dev: int = 0


class ListingPart(msgspec.Struct, tag=True, frozen=True):
    """Some sentinels, by their sync_ids one after another, and names that only look like sentinels.

    `name_count`: of how many names. `manifests`: the sync_ids of manifests that are awaited. `stamp`: that of the
    folder, in the last part, unless it says nothing. `is_unchanged`: it is the known one. `are_files`: the listing says
    of each name that it is a regular file.
    """

    ids: bytes = b""
    invalid_names: list[str] = []
    name_count: int = 0
    is_last: bool = False
    manifests: list[str] = []
    stamp: str = ""
    is_unchanged: bool = False
    are_files: bool = True


class ManifestHead(msgspec.Struct, tag=True, frozen=True):
    """What a manifest's bytes are. `is_unchanged`: their digest is the one that was known.

    `mount_id`: of the mount that the file is on (0: unknown).
    """

    sha256: str
    size: int
    is_unchanged: bool
    mount_id: int = 0


class ManifestDigests(msgspec.Struct, tag=True, frozen=True):
    """Some digests, by sync_id and in order; None of what cannot be read. `cpu_seconds`: what all took, in the last."""

    digests: dict[str, str | None]
    is_last: bool = False
    cpu_seconds: float = 0.0


class ManifestIsLong(msgspec.Struct, tag=True, frozen=True):
    """Reply to a request for a short manifest only. `size`: in bytes, as far as it is known."""

    size: int


class ManifestProblems(msgspec.Struct, tag=True, frozen=True):
    """Why a manifest is not consumable; `basis` is what the verdict rests on, as in ManifestError."""

    problems: list[str]
    basis: str


class Probed(msgspec.Struct, tag=True, frozen=True):
    """A manifest was read, or cannot be read: reading it does not hang."""

    sync_id: str


class Progress(msgspec.Struct, tag=True):
    """Sign of life during a long request: how many steps were taken and bytes read since the last one."""

    steps: int
    bytes_read: int = 0


class Readings(msgspec.Struct, tag=True):
    """Some readings, in order. `is_last`: no more follow; reads of the items with the ordinals `hanging` still hang."""

    readings: list[Reading]
    is_last: bool = False
    hanging: list[int] = []


class Failure(msgspec.Struct, tag=True):
    """Reply to any request that cannot be fulfilled. `no_sentinel`: the bundle is not handed over.

    `is_unreadable`: its files exist, but cannot be read, which may change without any change of their names.
    `is_shortage`: the helper lacks threads or descriptors, which says nothing about the mount.
    """

    problem: str
    no_sentinel: bool = False
    is_unreadable: bool = False
    is_shortage: bool = False


Request = InspectRoot | ListSentinels | ReadManifest | ReadManifests | DigestManifests | ProbeManifest | ReadItems
ManifestReply = ManifestHead | ManifestIsLong | ManifestProblems | Envelope | Block | ManifestIndex
Reply = RootInfo | ListingPart | ManifestDigests | Probed | Progress | Readings | Failure | ManifestReply

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_reply = msgspec.msgpack.Decoder(Reply).decode


class ProtocolError(Exception):
    """A helper sent something that does not answer its request."""


def decode_reply(body: bytes) -> Reply:
    """Raises ProtocolError for anything but a reply."""
    try:
        reply: Reply = _decode_reply(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"its reply is not valid: {error}") from error
    return reply


def problem_of(reply: Reply) -> str:
    return reply.problem if isinstance(reply, Failure) else f"unexpected {type(reply).__name__}"


def never() -> bool:
    return False


class Deadline:
    """A point in time, `seconds` from now. It moves on by as long as this process does not run while it waits.

    After a pause of its machine, a process finds its deadlines passed, although nothing was silent.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def wait_for(self, event: int, fd: int, is_cancelled: Callable[[], bool]) -> None:
        """Waits until a pipe is ready. Raises TimeoutError after the deadline, or soon after `is_cancelled()`."""
        poller = select.poll()
        poller.register(fd, event)
        while not self._poll(poller):
            self.demand(is_cancelled)

    def demand(self, is_cancelled: Callable[[], bool] = never) -> None:
        """Raises TimeoutError after the deadline, or if `is_cancelled()`."""
        if is_cancelled() or time.monotonic() >= self._at:
            raise TimeoutError("the deadline passed")

    def _poll(self, poller: select.poll) -> bool:
        began = time.monotonic()
        seconds = min(max(0.0, self._at - began), POLL_SECONDS)
        is_ready = bool(poller.poll(seconds * 1000))
        if (late := time.monotonic() - began - seconds) > LATE_SECONDS:
            self._at += late
        return is_ready


def send(
    fd: int, message: Request | Reply, deadline: Deadline | None = None, is_cancelled: Callable[[], bool] = never
) -> None:
    """Writes one frame and returns when the pipe has taken all of it. With a deadline, `fd` must be non-blocking.

    With one, raises TimeoutError after it, or within POLL_SECONDS once `is_cancelled()` is true.
    """
    write(fd, frame(message), deadline, is_cancelled)


def frame(message: Request | Reply) -> bytes:
    body = encode(message)
    return LENGTH.pack(len(body)) + body


def write(fd: int, frames: bytes, deadline: Deadline | None = None, is_cancelled: Callable[[], bool] = never) -> None:
    """Writes frames, as `send` does."""
    view = memoryview(frames)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            assert deadline is not None, "only those with a deadline write to a pipe that does not block"
            deadline.wait_for(select.POLLOUT, fd, is_cancelled)

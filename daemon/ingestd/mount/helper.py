"""A mount helper: the child process that does all input and output below the mount root.

A mount that hangs blocks this process instead of the daemon. JSON checks run here, too, and so never hold the
daemon's interpreter lock. The helper ends with its input, which closes when the daemon ends.
"""

import ctypes
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from ingestd.mount import items, manifests, sync_folder, wire
from ingestd.mount.records import Reading

# From linux/stat.h and linux/fcntl.h; Python does not have statx yet.
AT_FDCWD, STATX_MNT_ID_UNIQUE, STATX_BYTES, STATX_MASK_AT, STATX_MNT_ID_AT = -100, 0x4000, 256, 0, 144
KEEPALIVE_SECONDS = 0.5
MAX_GROUP_READINGS, MAX_GROUP_BYTES = 64, 2**18


class ReplyChannel:
    """Sends replies to the daemon. Thread-safe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        self._more_bytes = 0

    @property
    def is_due(self) -> bool:
        """Whether the last reply is so long ago that the daemon needs a sign of life."""
        return time.monotonic() - self._sent_at > KEEPALIVE_SECONDS

    def send(self, reply: wire.Reply) -> None:
        with self._lock:
            wire.send(self._fd, reply)
            self._sent_at = time.monotonic()

    def keep_alive(self) -> None:
        """Sends a sign of life when one is due."""
        if self.is_due:
            self.send(wire.Alive())

    def on_bytes(self, count: int) -> None:
        """Counts bytes of a file being verified, and reports them when a sign of life is due."""
        self._more_bytes += count
        if self.is_due:
            more, self._more_bytes = self._more_bytes, 0
            self.send(wire.Readings(more_bytes=more))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, channel = os.dup(0), ReplyChannel(os.dup(1))
    os.dup2(2, 1)
    while (body := wire.receive(requests)) is not None:
        handle(wire.decode_request(body), channel)


def handle(request: wire.Request, channel: ReplyChannel) -> None:
    """Fulfils one request and sends its replies."""
    match request:
        case wire.InspectRoot(root):
            channel.send(inspect_root(root))
        case wire.ListSentinels(root):
            channel.send(sync_folder.list_sentinels(root))
        case wire.ReadManifest():
            manifests.send_manifest(request, channel.send, channel.keep_alive)
        case wire.ReadItems():
            read_items(request, channel)


def inspect_root(root: str) -> wire.Reply:
    found = sync_folder.inspect_root(root)
    if not isinstance(found, wire.RootInfo):
        return found
    try:
        # The kernel answers stat from its cache even when the file system just died; statvfs has to ask it.
        os.statvfs(root)
    except OSError as error:
        return wire.Failure(f"{root}: {error.strerror}")
    return wire.RootInfo(found.st_dev, os.path.realpath(root), unique_mount_id(root))


def unique_mount_id(path: str) -> int:
    """A number that no other mount gets until the next boot; 0 on Linux before 6.8, which has no such number."""
    filled = ctypes.create_string_buffer(STATX_BYTES)
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None or statx(AT_FDCWD, os.fsencode(path), 0, STATX_MNT_ID_UNIQUE, filled):
        return 0
    (known,) = struct.unpack_from("=I", filled, STATX_MASK_AT)
    (unique_id,) = struct.unpack_from("=Q", filled, STATX_MNT_ID_AT)
    return int(unique_id) if known & STATX_MNT_ID_UNIQUE else 0


def read_items(request: wire.ReadItems, channel: ReplyChannel) -> None:
    """Sends a Reading for each item, in order and in groups. With several workers, items are read concurrently."""
    try:
        root_fd = os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        channel.send(wire.Failure(f"{request.root}: {error.strerror}"))
        return
    read = partial(items.read_item, root_fd, request=request, on_bytes=channel.on_bytes)
    try:
        if request.workers == 1:
            send_grouped(map(read, request.items), channel)
            return
        with ThreadPoolExecutor(request.workers) as pool:
            send_grouped(in_order([pool.submit(read, item) for item in request.items]), channel)
    finally:
        os.close(root_fd)


def in_order(futures: list[Future[Reading]]) -> Iterator[Reading | None]:
    """The readings in order; None when the next one takes long, so that those before it can be sent meanwhile."""
    futures.reverse()
    try:
        while futures:
            future = futures.pop()
            if not future.done() and not wait((future,), KEEPALIVE_SECONDS).done:
                yield None
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def send_grouped(readings: Iterable[Reading | None], channel: ReplyChannel) -> None:
    """Sends readings in groups: receiving a frame for each would cost the daemon more than the reading itself."""
    group: list[Reading] = []
    size = 0
    for reading in readings:
        if reading is not None:
            group.append(reading)
            size += reading.bytes_read
        # Finished readings are sent before waiting: they must not be lost if the next item never answers.
        is_waiting = reading is None and group
        if is_waiting or len(group) >= MAX_GROUP_READINGS or size >= MAX_GROUP_BYTES or channel.is_due:
            channel.send(wire.Readings(group))
            group, size = [], 0
    if group:
        channel.send(wire.Readings(group))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)

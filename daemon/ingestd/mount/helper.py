"""A mount helper: the child process that does all input and output below the mount root.

A mount that hangs takes this process with it and never the daemon; it also keeps JSON checks off the daemon's lock.
Ends when its input ends, as it does when the daemon is gone.
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

from ingestd.mount import files, wire

# linux/stat.h and linux/fcntl.h; Python has no statx yet.
AT_FDCWD, STATX_MNT_ID_UNIQUE, STATX_BYTES, STATX_MASK_AT, STATX_MNT_ID_AT = -100, 0x4000, 256, 0, 144
SILENCE = 0.5
GROUP_READINGS, GROUP_BYTES = 64, 2**18


class Answers:
    """The way back to the daemon. Several threads may use it at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        self._more_bytes = 0

    @property
    def is_due(self) -> bool:
        """Whether the daemon has heard nothing for so long that it should hear something."""
        return time.monotonic() - self._sent_at > SILENCE

    def send(self, reply: wire.Reply) -> None:
        with self._lock:
            wire.send(self._fd, reply)
            self._sent_at = time.monotonic()

    def on_bytes(self, count: int) -> None:
        """Tells now and then that a file being verified goes on being read."""
        self._more_bytes += count
        if self.is_due:
            more, self._more_bytes = self._more_bytes, 0
            self.send(wire.Readings(more_bytes=more))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reading, answers = os.dup(0), Answers(os.dup(1))
    os.dup2(2, 1)
    while (body := wire.receive(reading)) is not None:
        answer(wire.decode_request(body), answers)


def answer(request: wire.Request, answers: Answers) -> None:
    match request:
        case wire.Identify(root):
            answers.send(identify(root))
        case wire.ListSentinels(root):
            answers.send(files.list_sentinels(root))
        case wire.ReadManifest(root, sync_id, max_bytes):
            answers.send(files.read_manifest(root, sync_id, max_bytes))
        case wire.ReadItems():
            read_items(request, answers)


def identify(root: str) -> wire.Reply:
    found = files.identify(root)
    if not isinstance(found, wire.Identity):
        return found
    try:
        # Of a file system that just died, the kernel still answers stat from memory; this one it has to ask.
        os.statvfs(root)
    except OSError as error:
        return wire.Failure(f"{root}: {error.strerror}")
    return wire.Identity(found.st_dev, os.path.realpath(root), unique_mount_id(root))


def unique_mount_id(path: str) -> int:
    """A number that no other mount gets until the next boot; 0 on Linux before 6.8, which knows none."""
    filled = ctypes.create_string_buffer(STATX_BYTES)
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None or statx(AT_FDCWD, os.fsencode(path), 0, STATX_MNT_ID_UNIQUE, filled):
        return 0
    (known,) = struct.unpack_from("=I", filled, STATX_MASK_AT)
    (unique_id,) = struct.unpack_from("=Q", filled, STATX_MNT_ID_AT)
    return int(unique_id) if known & STATX_MNT_ID_UNIQUE else 0


def read_items(request: wire.ReadItems, answers: Answers) -> None:
    """A Reading for each wanted item, in order, some at a time; several items at once where a network is waited for."""
    try:
        root_fd = os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        answers.send(wire.Failure(f"{request.root}: {error.strerror}"))
        return
    read = partial(files.read_item, root_fd, request=request, on_bytes=answers.on_bytes)
    try:
        if request.workers == 1:
            send_grouped(map(read, request.wants), answers)
            return
        with ThreadPoolExecutor(request.workers) as pool:
            send_grouped(in_order([pool.submit(read, want) for want in request.wants]), answers)
    finally:
        os.close(root_fd)


def in_order(futures: list[Future[wire.Reading]]) -> Iterator[wire.Reading | None]:
    """The readings in order; None where the next one lets all others wait."""
    futures.reverse()
    try:
        while futures:
            future = futures.pop()
            if not future.done() and not wait((future,), SILENCE).done:
                yield None
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def send_grouped(readings: Iterable[wire.Reading | None], answers: Answers) -> None:
    """Sends readings some at a time: a frame for each would cost the daemon more than the reading itself."""
    group: list[wire.Reading] = []
    size = 0
    for reading in readings:
        if reading is not None:
            group.append(reading)
            size += reading.bytes_read
        # What is read already must not be lost because what follows gives no answer.
        is_waiting = reading is None and group
        if is_waiting or len(group) >= GROUP_READINGS or size >= GROUP_BYTES or answers.is_due:
            answers.send(wire.Readings(group))
            group, size = [], 0
    if group:
        answers.send(wire.Readings(group))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)

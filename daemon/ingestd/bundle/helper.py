"""A mount helper: the child process that does all input and output below the mount root.

A mount that hangs takes this process with it and never the daemon; it also keeps JSON checks off the daemon's lock.
Ends when its input ends, as it does when the daemon is gone.
"""

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ingestd.bundle import files, wire

# linux/stat.h and linux/fcntl.h; Python has no statx yet.
AT_FDCWD, STATX_MNT_ID_UNIQUE, STATX_BYTES, STATX_MASK_AT, STATX_MNT_ID_AT = -100, 0x4000, 256, 0, 144


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    while (body := wire.receive(reading)) is not None:
        for reply in answer(wire.decode_request(body)):
            wire.send(writing, reply)


def answer(request: wire.Request) -> Iterator[wire.Reply]:
    match request:
        case wire.Identify(root):
            yield identify(root)
        case wire.ListSentinels(root):
            yield files.list_sentinels(root)
        case wire.ReadManifest(root, sync_id, max_bytes):
            yield files.read_manifest(root, sync_id, max_bytes)
        case wire.ReadItems():
            yield from read_items(request)


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


def read_items(request: wire.ReadItems) -> Iterator[wire.Reply]:
    """One Reading for each wanted item, in order; several at a time where each waits for a network."""
    try:
        root_fd = os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        yield wire.Failure(f"{request.root}: {error.strerror}")
        return
    try:
        if request.workers == 1:
            yield from (files.read_item(root_fd, want, request) for want in request.wants)
            return
        with ThreadPoolExecutor(request.workers) as pool:
            yield from pool.map(lambda want: files.read_item(root_fd, want, request), request.wants)
    finally:
        os.close(root_fd)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)

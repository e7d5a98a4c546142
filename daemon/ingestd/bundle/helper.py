"""A mount helper: the child process that does all input and output below the mount root.

A mount that hangs takes this process with it and never the daemon; it also keeps JSON checks off the daemon's lock.
Ends when its input ends, as it does when the daemon is gone.
"""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ingestd.bundle import files, wire


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
            yield files.identify(root)
        case wire.ListSentinels(root):
            yield files.list_sentinels(root)
        case wire.ReadManifest(root, sync_id, max_bytes):
            yield files.read_manifest(root, sync_id, max_bytes)
        case wire.ReadItems():
            yield from read_items(request)


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

"""A mount helper: the child process that does all input and output below the mount root.

A mount that hangs blocks this process instead of the daemon. JSON checks run here, too, and so never hold the
daemon's interpreter lock. The helper ends with its input, which closes when the daemon ends.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

from ingestd.mount import digests, items, manifests, sync_folder, wire
from ingestd.mount.inbox import Inbox
from ingestd.mount.item_threads import ItemThreads
from ingestd.mount.memory import end_before_parent, limited_memory
from ingestd.mount.mount_ids import unique_mount_id
from ingestd.mount.probes import Probes
from ingestd.mount.replies import ReplyChannel
from ingestd.mount.window import WindowFull
from ingestd.shortage import require_descriptors, shortage_of

BASE_MEMORY, THREAD_STACK = 256 * 2**20, 2**20


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.stack_size(THREAD_STACK)
    end_before_parent()
    requests, channel = os.dup(0), ReplyChannel(os.dup(1))
    os.dup2(2, 1)
    channel.send(wire.Progress(0))  # from here on, what ends this process may be what it reads
    inbox = Inbox(requests)
    while (body := inbox.receive()) is not None:
        channel.begin()
        handle(wire.decode_request(body), channel)


probes = Probes()


def handle(request: wire.Request, channel: ReplyChannel) -> None:
    """Fulfils one request and sends its replies; without threads or descriptors, the reply is a failure."""
    try:
        fulfil(request, channel)
    except Exception as error:
        shortage = shortage_of(error)
        if shortage is None:
            raise
        channel.send(wire.Failure(str(shortage), is_shortage=True))


def fulfil(request: wire.Request, channel: ReplyChannel) -> None:
    match request:
        case wire.InspectRoot(root):
            probes.begin()
            channel.send(inspect_root(root, channel.keep_alive))
        case wire.ListSentinels(root, awaited, known_stamp):
            sync_folder.list_sentinels(root, channel.send, awaited, known_stamp)
        case wire.ReadManifests(requests):
            with channel.flushing():
                manifests.send_manifests(requests, channel.buffer, channel.keep_alive)
        case wire.ReadManifest(only_short=True):
            manifests.send_manifest(request, channel.buffer, channel.keep_alive)
            channel.flush()
        case wire.ReadManifest():
            manifests.send_manifest(request, channel.send, channel.keep_alive)
        case wire.DigestManifests():
            digests.send_digests(request, channel.send, channel.keep_alive)
        case wire.ProbeManifest(root, sync_id):
            probes.add(root, sync_id, lambda: channel.send(wire.Probed(sync_id)))
        case wire.ReadItems():
            read_items(request, channel)


def inspect_root(root: str, alive: Callable[[], None] = sync_folder.quiet) -> wire.Reply:
    """What is at the root. Each step asks the mount once, and may take long by itself."""
    try:
        with sync_folder.open_root(root, alive) as fd:
            return root_info(fd, alive)
    except NotADirectoryError:
        return wire.Failure(f"{root} is not a folder")
    except OSError as error:
        require_descriptors(error)
        return wire.Failure(f"{root}: {error.strerror}")


def root_info(root: int, alive: Callable[[], None]) -> wire.RootInfo:
    st_dev = os.fstat(root).st_dev
    alive()
    # The kernel answers stat from its cache even when the file system just died; statvfs has to ask it.
    fs_id = os.statvfs(root).f_fsid
    alive()
    sync_inode, sync_dev = sync_folder.inode(root)
    alive()
    path = os.readlink(f"/proc/self/fd/{root}")
    return wire.RootInfo(st_dev, path, unique_mount_id(root), fs_id, sync_inode, sync_dev)


def read_items(request: wire.ReadItems, channel: ReplyChannel) -> None:
    """Sends a Reading for each item, in order and in groups. With several workers, items are read concurrently."""
    try:
        root_fd = os.open(request.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        require_descriptors(error)
        channel.send(wire.Failure(f"{request.root}: {error.strerror}"))
        return
    try:
        with limited_memory(memory_for(request)), channel.reporting():
            hanging = send_readings(request, root_fd, channel)
        channel.finish(hanging)
    finally:
        os.close(root_fd)


def memory_for(request: wire.ReadItems) -> int:
    """Bytes that reading some items may need: what is kept of them, what is being read, and checking one document."""
    limits = request.limits
    kept = 2 * (request.window + limits.item_document_bytes)
    return BASE_MEMORY + kept + (2 * request.workers + 8) * limits.document_bytes


def send_readings(request: wire.ReadItems, root_fd: int, channel: ReplyChannel) -> list[int]:
    """Sends the readings of the items that fit into the window of the request; returns the items whose reads hang."""
    threads: ItemThreads | None = None

    def report(count: int) -> None:
        channel.report(count)
        if threads is not None:
            threads.step()

    reader = items.ItemReader(root_fd, request, report if request.workers > 1 else channel.report)
    if request.workers > 1:
        threads = ItemThreads(request.items, reader.read, request.workers, request.silence)
    try:
        for reading in map(reader.read, request.items) if threads is None else threads.each():
            channel.add(reading)
    except WindowFull:
        pass
    hanging = [] if threads is None else threads.hanging
    if not hanging:
        reader.close()
    return hanging


def run() -> None:
    """The whole life of a helper process; it ends quietly with the daemon."""
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)

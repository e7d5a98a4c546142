"""Reading and checking one manifest, in a mount helper.

The digest comes first: a manifest that is known is not parsed. A long one is parsed in a process of its own with a
limit of memory, so that a manifest that exceeds it costs nothing but itself, and the helper does not stay large.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from io import BytesIO

from ingestd.errors import ManifestError
from ingestd.format.fields import BadEntry
from ingestd.format.manifest_parser import parse_parts
from ingestd.mount import compartment
from ingestd.mount.mount_ids import unique_mount_id
from ingestd.mount.paths import read_blocks
from ingestd.mount.sync_folder import NoSentinel, open_manifest, open_sync
from ingestd.mount.wire import Failure, ManifestHead, ManifestIsLong, ManifestProblems, ManifestReply, ReadManifest
from ingestd.shortage import require_descriptors

LONG = 2**20
MIN_MEMORY, MEMORY_PER_BYTE = 64 * 2**20, 8

Send = Callable[[ManifestReply | Failure], None]


class _TooLarge(Exception):
    """A manifest has more bytes than allowed."""


class _IsLong(Exception):
    """A manifest is long, where only a short one was asked for."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def send_manifests(requests: Sequence[ReadManifest], send: Send, alive: Callable[[], None]) -> None:
    """Sends all replies for several manifests of one root, whose folder is opened once."""
    with ExitStack() as stack:
        folder = None
        with suppress(BadEntry, OSError):  # which is the answer for each of them, then
            folder = stack.enter_context(open_sync(requests[0].root))
        for request in requests:
            send_manifest(request, send, alive, folder)


def send_manifest(request: ReadManifest, send: Send, alive: Callable[[], None], folder: int | None = None) -> None:
    """Sends all replies to a request for a manifest; `alive()` sends a sign of life when one is due.

    `folder`: a descriptor of the folder with the manifests, if that is open.
    """
    try:
        data, sha256, mount_id = _read(request, alive, folder)
    except _TooLarge as error:
        send(ManifestProblems([f"the manifest cannot be read: {error} (mount.max_manifest_bytes)"], "setting"))
    except _IsLong as long:
        send(ManifestIsLong(long.size))
    except NoSentinel as error:
        send(Failure(str(error), no_sentinel=True))
    except BadEntry as bad:
        send(Failure(bad.problem, is_unreadable=True))
    except OSError as error:
        require_descriptors(error)
        is_missing = isinstance(error, FileNotFoundError)
        send(Failure(f"sync/{request.sync_id}.json: {error.strerror}", is_unreadable=not is_missing))
    else:
        is_unchanged = sha256 == request.known_sha256
        send(ManifestHead(sha256, len(data), is_unchanged, mount_id))
        if not is_unchanged:
            _send_checked(data, request, send, alive)


PROBE_READS = 2


def try_to_read(root: str, sync_id: str) -> None:
    """Reads the beginning of a manifest, for a caller that only wants to know whether that ends.

    A small one to its end, because what is cached may be all but that. Not all of a long one, or of one that comes in
    drips: those take long, but do not hang. Raises Shortage.
    """
    try:
        with suppress(NoSentinel, BadEntry), open_manifest(root, sync_id) as fd:
            for _ in zip(range(PROBE_READS), read_blocks(fd), strict=False):
                pass
    except OSError as error:
        require_descriptors(error)


def _read(request: ReadManifest, alive: Callable[[], None], folder: int | None) -> tuple[bytes, str, int]:
    """The bytes of a manifest, their digest, and the mount that it is on.

    Raises _TooLarge, _IsLong, NoSentinel, BadEntry, OSError.
    """
    name, max_bytes = f"{request.sync_id}.json", request.max_bytes
    # A file may grow while it is read, or have more than its size says.
    most = min(LONG, max_bytes) if request.only_short else max_bytes
    digest = hashlib.sha256()
    # Not a list of blocks: joining them would need twice the memory.
    kept = BytesIO()
    with open_manifest(request.root, request.sync_id, alive, folder, is_listed=request.is_listed) as fd:
        size, mount_id = os.fstat(fd).st_size, unique_mount_id(fd)
        if size > max_bytes:
            raise _TooLarge(f"{name} has {size} bytes, more than {max_bytes}")
        if request.only_short and size > LONG:
            raise _IsLong(size)
        for block in read_blocks(fd, most + 1, size):
            kept.write(block)
            digest.update(block)
            alive()
    data = kept.getvalue()
    if len(data) > max_bytes:
        raise _TooLarge(f"{name} has more than {max_bytes} bytes")
    if len(data) > most:
        raise _IsLong(len(data))
    return data, digest.hexdigest(), mount_id


def _send_checked(data: bytes, request: ReadManifest, send: Send, alive: Callable[[], None]) -> None:
    """Parses a manifest and sends its parts, or its problems."""
    if len(data) <= LONG:
        _send_parts(data, request, send, alive)
        return
    memory = MIN_MEMORY + MEMORY_PER_BYTE * len(data)
    try:
        compartment.run(lambda: _send_parts(data, request, send, alive), memory)
    except compartment.OutOfMemory:
        problem = f"the manifest takes more than {memory >> 20} MiB of memory to check; deliver it in smaller bundles"
        send(ManifestProblems([problem], "setting"))
    except compartment.Died as error:
        send(Failure(f"{error} while it checked the manifest; see its messages in the log of the service"))


def _send_parts(data: bytes, request: ReadManifest, send: Send, alive: Callable[[], None]) -> None:
    try:
        for part in parse_parts(data, request.sync_id, request.limits, alive):
            send(part)
    except ManifestError as error:
        send(ManifestProblems(error.problems, error.basis))

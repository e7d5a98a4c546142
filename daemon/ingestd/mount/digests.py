"""Digests of known manifests, in a mount helper: nothing of them is kept, and nothing is parsed."""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable

from ingestd.format.fields import BadEntry
from ingestd.mount.paths import OPEN_FILE, WALK_FOLDER, open_below, open_in_root, read_blocks
from ingestd.mount.repeating import repeating
from ingestd.mount.wire import DigestManifests, Failure, ManifestDigests
from ingestd.shortage import require_descriptors

SEND_SECONDS = 0.2


def send_digests(
    request: DigestManifests, send: Callable[[ManifestDigests | Failure], None], alive: Callable[[], None]
) -> None:
    """Sends the digests of manifests, in order, until the time is over; `alive()` sends a sign of life if one is due.

    Those that are known are sent every SEND_SECONDS, so that one that hangs is the first of which nothing was sent.
    """
    found = _Found(send)
    end, began = time.monotonic() + request.seconds, time.process_time()
    try:
        with open_in_root(request.root, "sync", WALK_FOLDER) as folder, repeating(found.send, SEND_SECONDS):
            for sync_id in request.sync_ids:
                is_wanted = not request.announced or _is_announced(folder, sync_id)
                digest = _digest(folder, f"{sync_id}.json", request.max_bytes, alive) if is_wanted else None
                found.add(sync_id, digest)
                if time.monotonic() >= end:
                    break
    except BadEntry as bad:
        send(Failure(f"{request.root}: {bad.problem}"))
    except OSError as error:
        require_descriptors(error)
        send(Failure(f"{request.root}/sync: {error.strerror}"))
    else:
        found.finish(time.process_time() - began)


class _Found:
    """The digests that were not sent yet."""

    def __init__(self, send: Callable[[ManifestDigests], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._digests: dict[str, str | None] = {}

    def add(self, sync_id: str, sha256: str | None) -> None:
        with self._lock:
            self._digests[sync_id] = sha256

    def send(self) -> None:
        with self._lock:
            digests, self._digests = self._digests, {}
            if digests:
                self._send(ManifestDigests(digests))

    def finish(self, cpu_seconds: float) -> None:
        self._send(ManifestDigests(self._digests, is_last=True, cpu_seconds=cpu_seconds))


def _is_announced(folder: int, sync_id: str) -> bool:
    """Whether the sentinel of a bundle is there."""
    try:
        os.stat(f"{sync_id}.ready", dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        require_descriptors(error)
        return False
    return True


def _digest(folder: int, name: str, max_bytes: int, alive: Callable[[], None]) -> str | None:
    """None for what cannot be read, or has more than `max_bytes`."""
    try:
        with open_below(folder, name, OPEN_FILE) as fd:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
                return None
            return _digest_of(fd, found.st_size, max_bytes, alive)
    except BadEntry:
        return None
    except OSError as error:
        require_descriptors(error)
        return None


def _digest_of(fd: int, size: int, max_bytes: int, alive: Callable[[], None]) -> str | None:
    digest, done = hashlib.sha256(), 0
    for block in read_blocks(fd, max_bytes + 1, size):
        digest.update(block)
        done += len(block)
        alive()
    return digest.hexdigest() if done <= max_bytes else None

"""Reading one item, in a mount helper: its files are verified and its documents read. Nothing blocks on a FIFO."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingestd.format.entry import File
from ingestd.format.fields import BadEntry
from ingestd.model import Reason
from ingestd.mount.documents import read_documents
from ingestd.mount.paths import OPEN_FILE, OPEN_FOLDER, open_below, read_blocks
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.wire import ReadItems

TRANSIENT = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EREMOTEIO, errno.EAGAIN}
TRANSIENT |= {errno.ECONNABORTED, errno.ENODEV}
"""Error numbers of file systems that may answer again later."""


def read_item(
    root_fd: int, item: ItemRequest, request: ReadItems, on_bytes: Callable[[int], None] = lambda _count: None
) -> Reading:
    """Reads one item; a problem becomes part of the reading and never raises.

    `on_bytes(count)` is called for each block of a file being verified, which may take longer than any deadline.
    """
    reading = Reading(item.ordinal)
    try:
        with open_below(root_fd, item.path, OPEN_FOLDER) as folder:
            for file in item.files if request.verify != "none" else ():
                _verify(folder, file, request.verify == "sha256", on_bytes)
            if item.with_documents:
                read_documents(folder, request.max_document_bytes, reading)
    except FileNotFoundError as error:
        reading.absent = bool(item.files)
        if item.files and request.verify != "none":
            reading.reason, reading.problem = Reason.FILE_MISSING, f"{item.path}: {error.strerror}"
    except BadEntry as bad:
        reading.reason, reading.problem = bad.reason, f"{item.path}: {bad.problem}"
        reading.absent = bad.reason is Reason.FILE_MISSING
    except OSError as error:
        reading.reason, reading.problem = Reason.FILE_UNREADABLE, f"{item.path}: {error.strerror}"
        reading.transient = error.errno in TRANSIENT
    return reading


def _verify(folder: int, file: File, with_sha256: bool, on_bytes: Callable[[int], None]) -> None:
    """Raises BadEntry unless a file is as the manifest lists it."""
    with _open_regular(folder, file.path) as (fd, found):
        if file.bytes is not None and found.st_size != file.bytes:
            problem = f"{file.path} has {found.st_size} bytes, the manifest says {file.bytes}"
            raise BadEntry(Reason.FILE_SIZE_MISMATCH, problem)
        if not with_sha256 or file.sha256 is None:
            return
        digest = hashlib.sha256()
        for block in read_blocks(fd):
            digest.update(block)
            on_bytes(len(block))
        if digest.hexdigest() != file.sha256:
            problem = f"{file.path} has sha256 {digest.hexdigest()}, the manifest says {file.sha256}"
            raise BadEntry(Reason.FILE_HASH_MISMATCH, problem)


@contextmanager
def _open_regular(folder: int, path: str) -> Iterator[tuple[int, os.stat_result]]:
    try:
        with open_below(folder, path, OPEN_FILE) as fd:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise BadEntry(Reason.FILE_MISSING, f"{path} is not a regular file")
            yield fd, found
    except FileNotFoundError:
        raise BadEntry(Reason.FILE_MISSING, f"{path} does not exist") from None

"""Reading one item, in a mount helper: its files are verified and its documents read. Nothing blocks on a FIFO."""

import errno
import hashlib
import os
import stat
import traceback
from collections.abc import Callable
from functools import partial

from ingestd.errors import Shortage
from ingestd.format.entry import File
from ingestd.format.fields import BadEntry
from ingestd.model import Reason
from ingestd.mount.documents import DocumentReader
from ingestd.mount.item_folders import ItemFolders
from ingestd.mount.paths import OPEN_FILE, open_below, read_blocks, stat_below
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.window import Window, WindowFull
from ingestd.mount.wire import ReadItems
from ingestd.shortage import require_descriptors

DEFINITE = {errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENXIO}
"""Error numbers that say something about a file. All others may be about the moment, and are tried again: also missing
rights, which may be those of the mount or of any folder above."""


class ItemReader:
    """Reads the items of one request. Thread-safe.

    `report(bytes)` is called for each step: a file of many blocks, or an item of many files, may take longer than any
    deadline.
    """

    def __init__(self, root_fd: int, request: ReadItems, report: Callable[[int], None] = lambda _count: None) -> None:
        self._folders, self._request, self._report = ItemFolders(root_fd), request, report
        self._window = Window(request.window)

    def close(self) -> None:
        """Closes the folders that were kept open. Not while a read hangs: it would find others at their numbers."""
        self._folders.close()

    def read(self, item: ItemRequest) -> Reading:
        """Reads one item; a problem becomes part of the reading. Raises WindowFull, Shortage."""
        try:
            return self._read(item)
        except (WindowFull, Shortage):
            raise
        except FileNotFoundError as error:
            reading = Reading(item.ordinal, absent=bool(item.files))
            if item.files and self._request.verify != "none":
                reading.reason, reading.problem = Reason.FILE_MISSING, f"{item.path}: {error.strerror}"
        except BadEntry as bad:
            reading = Reading(item.ordinal, reason=bad.reason, problem=f"{item.path}: {bad.problem}")
            reading.absent = bad.reason is Reason.FILE_MISSING
        except FileChangedError as error:
            reading = Reading(item.ordinal, reason=Reason.FILE_SIZE_MISMATCH, problem=f"{item.path}: {error}")
            reading.transient = True
        except OSError as error:
            require_descriptors(error)
            reading = _unreadable(item, error.strerror or str(error))
            reading.transient = error.errno not in DEFINITE
        except Exception as error:  # noqa: BLE001  an unforeseen error costs this item, and is logged
            traceback.print_exc()
            reading = _unreadable(item, f"unforeseen {type(error).__name__}: {error}")
            reading.unforeseen = True
        reading.problem = (reading.problem or "").encode(errors="backslashreplace").decode() or None
        return reading

    def _read(self, item: ItemRequest) -> Reading:
        is_first = item.ordinal == self._request.items[0].ordinal
        take = partial(self._window.take, is_first=is_first)
        take(0)
        reading = Reading(item.ordinal)
        with self._folders.open(item.path) as folder:
            if self._request.verify != "none":
                for file in item.files:
                    self._verify(folder, file)
            if item.with_documents:
                reading.documents = DocumentReader(self._request.limits, self._report, take).read(folder)
        return reading

    def _verify(self, folder: int, file: File) -> None:
        """Raises BadEntry unless a file is as the manifest lists it, FileChangedError if it changed meanwhile."""
        try:
            found = stat_below(folder, file.path)
            if not stat.S_ISREG(found.st_mode):
                raise BadEntry(Reason.FILE_MISSING, f"{file.path} is not a regular file")
            if file.bytes is not None and found.st_size != file.bytes:
                problem = f"{file.path} has {found.st_size} bytes, the manifest says {file.bytes}"
                raise BadEntry(Reason.FILE_SIZE_MISMATCH, problem)
            if self._request.verify == "sha256" and file.sha256 is not None:
                with open_below(folder, file.path, OPEN_FILE) as fd:
                    self._verify_digest(fd, file, found.st_size)
        except FileNotFoundError:
            raise BadEntry(Reason.FILE_MISSING, f"{file.path} does not exist") from None
        self._report(0)

    def _verify_digest(self, fd: int, file: File, size: int) -> None:
        digest = hashlib.sha256()
        for block in read_blocks(fd, size):
            digest.update(block)
            self._report(len(block))
        if (now := os.fstat(fd).st_size) != size:
            raise FileChangedError(f"{file.path} had {size} bytes, and {now} after it was read: it is being written")
        if digest.hexdigest() != file.sha256:
            problem = f"{file.path} has sha256 {digest.hexdigest()}, the manifest says {file.sha256}"
            raise BadEntry(Reason.FILE_HASH_MISMATCH, problem)


class FileChangedError(Exception):
    """A file changed while it was read."""


def _unreadable(item: ItemRequest, why: str) -> Reading:
    return Reading(item.ordinal, reason=Reason.FILE_UNREADABLE, problem=f"{item.path}: {why}")

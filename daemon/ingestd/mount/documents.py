"""Reading the documents of an item, in a mount helper: which files they are, their kinds, and their text as JSON."""

import base64
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
import orjson

from ingestd.format.fields import BadEntry
from ingestd.format.nesting import depth_problem
from ingestd.model import Reason
from ingestd.mount.paths import BLOCK, LIST_FOLDER, OPEN_FILE, WALK_FOLDER, open_name, printable, read_blocks
from ingestd.mount.records import SOURCE, Document
from ingestd.mount.wire import DocumentLimits

KINDS = {
    "photo.manifest.json": "photo_manifest",
    "photo.analysis.json": "photo_analysis",
    "photo.meaning.json": "photo_meaning",
    "photo.family.json": "photo_family",
}

NAMES_PER_STEP = 100
FOLDERS_PER_FILE = 100
"""Folders are ignored, up to so many for each file that an item may have."""

_checking = threading.Lock()
"""Checking takes several times the memory of a document, and the interpreter does it for one at a time anyway."""
_PAIRED = b'"\\\b\t\n\f\r'
_NOT_PAIRED = bytes(set(range(256)) - set(_PAIRED))
_NOT_CONTROL = bytes(set(range(0x20, 256)) | set(_PAIRED))
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class DocumentReader:
    """Reads the documents of one item.

    `report(bytes)` is called for each block that was read, `take(bytes)` before a document is kept in memory.
    """

    def __init__(self, limits: DocumentLimits, report: Callable[[int], None], take: Callable[[int], None]) -> None:
        self._limits, self._report, self._take = limits, report, take
        self._documents: list[Document] = []
        self._bytes = 0

    def read(self, folder: int) -> list[Document]:
        """source/source.json and each regular file of source/data, in order of name. Missing folders have none.

        Raises BadEntry for a document that is too large, too deep or a link, and for too many of them.
        """
        with suppress(FileNotFoundError):
            source = open_name(folder, "source", WALK_FOLDER)
            try:
                with suppress(FileNotFoundError):
                    self._append(SOURCE, "source.json", open_name(source, "source.json", OPEN_FILE))
                self._read_data(open_name(source, "data", LIST_FOLDER))
            finally:
                os.close(source)
        return self._documents

    def _read_data(self, data: int) -> None:
        try:
            for name in self._names(data):
                self._read_one(data, name)
        finally:
            os.close(data)

    def _names(self, data: int) -> list[str]:
        """The names in source/data, but those of folders; a listing that never ends is not read to its end."""
        names: list[str] = []
        count = 0
        with os.scandir(data) as found:
            for count, file in enumerate(found, 1):
                if not file.is_dir(follow_symlinks=False):
                    names.append(file.name)
                if count % NAMES_PER_STEP == 0:
                    self._check_count(len(names), count - len(names))
                    self._report(0)
        self._check_count(len(names), count - len(names))
        return sorted(names) if "".join(names).isascii() else sorted(names, key=os.fsencode)

    def _check_count(self, files: int, folders: int) -> None:
        limit = self._limits.item_documents
        if folders > FOLDERS_PER_FILE * limit:
            problem = f"source/data has more than {FOLDERS_PER_FILE * limit} folders; only files are documents"
            raise BadEntry(Reason.TOO_MANY_DOCUMENTS, problem)
        if len(self._documents) + files > limit:
            problem = f"source/data has more than {limit} files (mount.max_item_documents)"
            raise BadEntry(Reason.TOO_MANY_DOCUMENTS, problem)

    def _read_one(self, data: int, name: str) -> None:
        try:
            self._append(kind_of(name), name, open_name(data, name, OPEN_FILE))
        except FileNotFoundError:
            # An object store that is catching up lists files it cannot open yet. Without this document the import
            # would retire the one in the library.
            problem = f"{printable(name)} is listed in source/data, but cannot be opened"
            raise OSError(errno.ESTALE, problem) from None
        except OSError as error:
            if error.errno != errno.ENXIO:  # a socket, which like a FIFO is not a document
                raise

    def _append(self, kind: str, name: str, fd: int) -> None:
        """Keeps what is in an open file, and closes it. No context manager, which takes longer than to open it."""
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return
            data = self._content(fd, name, found.st_size)
        finally:
            os.close(fd)
        self._keep(kind, name, data)

    def _keep(self, kind: str, name: str, data: bytes) -> None:
        with _checking:
            text = _checked(name, data)
        self._bytes += len(text)
        if self._bytes > (limit := self._limits.item_document_bytes):
            problem = f"its documents need more than {limit} bytes (mount.max_item_document_bytes)"
            raise BadEntry(Reason.TOO_MANY_DOCUMENTS, problem)
        self._take(len(text))
        self._documents.append(Document(kind, hashlib.sha256(data).hexdigest(), text))

    def _content(self, fd: int, name: str, size: int) -> bytes:
        limit = self._limits.document_bytes
        # One byte more shows whether it has grown; memory for a whole block may take longer than to read a short one.
        data = os.read(fd, min(BLOCK, limit + 1, size + 1 if size else BLOCK))
        self._report(len(data))
        if len(data) == size <= limit:  # most are short
            return data
        if len(data) != size:
            rest = self._reported(read_blocks(fd, limit + 1 - len(data), size - len(data)))
            data = b"".join([data, *rest])
        if len(data) > limit:
            problem = f"{printable(name)} has more than {limit} bytes (mount.max_document_bytes)"
            raise BadEntry(Reason.DOCUMENT_TOO_LARGE, problem)
        return data

    def _reported(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._report(len(block))
            yield block


def _checked(name: str, data: bytes) -> bytes:
    """A document as JSON text. Raises BadEntry for JSON that is nested too deeply for the database."""
    try:
        text = as_json(data)
    except RecursionError:
        problem: str | None = "nested deeper than a parser can follow"
    else:
        problem = depth_problem(data) if text is data else None
    if problem is not None:
        raise BadEntry(Reason.DOCUMENT_TOO_DEEP, f"{printable(name)} is {problem}")
    return text


def kind_of(name: str) -> str:
    """The analysis kind of a file of source/data. Bytes outside printable ASCII, and `%`, are percent-encoded."""
    known = KINDS.get(name)
    if known:
        return known
    encoded = (chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in os.fsencode(name))
    return "source_data:" + "".join(encoded)


def as_json(data: bytes) -> bytes:
    """A document as JSON text: JSON unchanged, other text and other bytes (as base64) wrapped in an object.

    Text that would more than double in a JSON string is mostly control characters, and counts as bytes. So nothing is
    stored at more than twice its size, and a small wrapping. Raises RecursionError for hundreds of levels of brackets.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _wrapped("base64", base64.b64encode(data).decode())
    if _is_json(data):
        return data
    if _escaped_growth(data) > len(data):
        return _wrapped("base64", base64.b64encode(data).decode())
    return _wrapped("text", text)


def _wrapped(encoding: str, data: str) -> bytes:
    """A copy, because orjson keeps the room for the longest possible escapes with its result, several times its length.

    The limit of memory counts that room: a few documents of backslashes were too many for a helper.
    """
    return bytes(memoryview(orjson.dumps({"encoding": encoding, "data": data})))


def _is_json(data: bytes) -> bool:
    """Whether UTF-8 text is JSON. Decoded as Raw, nothing is built of it: a tree needs 20 times the memory."""
    try:
        _decode_raw(data)
    except msgspec.DecodeError:
        return False
    return True


def _escaped_growth(data: bytes) -> int:
    """How many bytes longer text gets in a JSON string: control characters become \\u0000, some others a pair."""
    return 5 * len(data.translate(None, _NOT_CONTROL)) + len(data.translate(None, _NOT_PAIRED))

"""Reading the documents of an item, in a mount helper: which files they are, their kinds, and their text as JSON."""

import base64
import errno
import hashlib
import os
import stat

import msgspec
import orjson

from ingestd.format.fields import BadEntry
from ingestd.format.nesting import depth_problem
from ingestd.model import Reason
from ingestd.mount.paths import OPEN_FILE, OPEN_FOLDER, open_below, printable, read_blocks
from ingestd.mount.records import SOURCE, Document, Reading

KINDS = {
    "photo.manifest.json": "photo_manifest",
    "photo.analysis.json": "photo_analysis",
    "photo.meaning.json": "photo_meaning",
    "photo.family.json": "photo_family",
}

_PAIRED = b'"\\\b\t\n\f\r'
_NOT_PAIRED = bytes(set(range(256)) - set(_PAIRED))
_NOT_CONTROL = bytes(set(range(0x20, 256)) | set(_PAIRED))
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def read_documents(folder: int, max_bytes: int, reading: Reading) -> None:
    """Appends source/source.json and each regular file of source/data, in order of name, to a reading.

    Missing folders mean no documents. Raises BadEntry for a document that is too large, too deep or a link.
    """
    try:
        with open_below(folder, "source", OPEN_FOLDER) as source:
            try:
                with open_below(source, "source.json", OPEN_FILE) as fd:
                    _append(reading, SOURCE, "source.json", fd, max_bytes)
            except FileNotFoundError:
                pass
            with open_below(source, "data", OPEN_FOLDER) as data:
                for name in sorted(os.listdir(data), key=os.fsencode):
                    _read_document(data, name, max_bytes, reading)
    except FileNotFoundError:
        return


def _read_document(data: int, name: str, max_bytes: int, reading: Reading) -> None:
    try:
        with open_below(data, name, OPEN_FILE, is_file_name=True) as fd:
            _append(reading, kind_of(name), name, fd, max_bytes)
    except FileNotFoundError:
        # An object store that is catching up lists files it cannot open yet. Without this document the import would
        # retire the one in the library.
        raise OSError(errno.ESTALE, f"{printable(name)} is listed in source/data, but cannot be opened") from None
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket, which like a FIFO is not a document
            raise


def _append(reading: Reading, kind: str, name: str, fd: int, max_bytes: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return
    data = b"".join(read_blocks(fd, max_bytes + 1))
    if len(data) > max_bytes:
        raise BadEntry(Reason.DOCUMENT_TOO_LARGE, f"{printable(name)} has more than {max_bytes} bytes")
    reading.bytes_read += len(data)
    reading.documents.append(Document(kind, hashlib.sha256(data).hexdigest(), _checked(name, data)))


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
    return orjson.dumps({"encoding": encoding, "data": data})


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

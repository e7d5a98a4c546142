"""Reading the documents of an item, in a mount helper: which files they are, their kinds, and their text as JSON."""

import base64
import errno
import hashlib
import json
import os
import stat

import orjson

from ingestd.format.fields import BadEntry
from ingestd.format.strict_json import depth_problem
from ingestd.model import Reason
from ingestd.mount.paths import OPEN_FILE, OPEN_FOLDER, open_below, printable, read_blocks
from ingestd.mount.records import SOURCE, Document, Reading

KINDS = {
    "photo.manifest.json": "photo_manifest",
    "photo.analysis.json": "photo_analysis",
    "photo.meaning.json": "photo_meaning",
    "photo.family.json": "photo_family",
}


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
    if (problem := depth_problem(data)) is not None and (is_json(data) or _is_too_deep_to_parse(data)):
        raise BadEntry(Reason.DOCUMENT_TOO_DEEP, f"{printable(name)} is {problem}")
    reading.bytes_read += len(data)
    reading.documents.append(Document(kind, hashlib.sha256(data).hexdigest(), as_json(data)))


def kind_of(name: str) -> str:
    """The analysis kind of a file of source/data. Bytes outside printable ASCII, and `%`, are percent-encoded."""
    known = KINDS.get(name)
    if known:
        return known
    encoded = (chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in os.fsencode(name))
    return "source_data:" + "".join(encoded)


def as_json(data: bytes) -> str:
    """A document as JSON text: JSON unchanged, other UTF-8 text and other bytes (as base64) wrapped in an object."""
    if is_json(data):
        return data.decode()
    try:
        return orjson.dumps({"encoding": "text", "data": data.decode()}).decode()
    except UnicodeDecodeError:
        return orjson.dumps({"encoding": "base64", "data": base64.b64encode(data).decode()}).decode()


def is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_too_deep_to_parse(data: bytes) -> bool:
    """Whether text is nested so deeply that parsers give up before they know whether it is JSON."""
    try:
        json.loads(data)
    except RecursionError:
        return True
    except ValueError:
        return False
    return False

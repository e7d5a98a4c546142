"""Reading below the mount root, inside a mount helper: no symlink is followed, no path leaves the root, nothing blocks.

Every step opens one component relative to the folder before it (O_NOFOLLOW), so that nothing swapped in between a
check and a read can lead elsewhere.
"""

import base64
import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from ingestd.format.entry import CLEAN_PATH, BadEntry, File, depth_problem
from ingestd.format.manifest import SYNC_ID
from ingestd.model import Reason
from ingestd.mount.wire import Blob, Document, Failure, Identity, Listing, Reading, ReadItems, Want

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TRANSIENT = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EREMOTEIO, errno.EAGAIN}
TRANSIENT |= {errno.ECONNABORTED, errno.ENODEV}
BLOCK = 1 << 20
KINDS = {
    "photo.manifest.json": "photo_manifest",
    "photo.analysis.json": "photo_analysis",
    "photo.meaning.json": "photo_meaning",
    "photo.family.json": "photo_family",
}
SOURCE = "source"


def identify(root: str) -> Identity | Failure:
    try:
        found = os.stat(root)
    except OSError as error:
        return Failure(f"{root}: {error.strerror}")
    return Identity(found.st_dev) if stat.S_ISDIR(found.st_mode) else Failure(f"{root} is not a folder")


def list_sentinels(root: str) -> Listing | Failure:
    """One listing of names, no stat of any file."""
    sync_ids: list[str] = []
    odd: list[str] = []
    try:
        with opened(root, "sync", FOLDER) as folder:
            names = os.listdir(folder)
    except BadEntry as bad:
        return Failure(f"{root}: {bad.problem}")
    except OSError as error:
        return Failure(f"{root}/sync: {error.strerror}")
    for stem in (name.removesuffix(".ready") for name in names if name.endswith(".ready")):
        (sync_ids if SYNC_ID.fullmatch(stem) else odd).append(stem)
    return Listing(sync_ids, list(map(shown, odd)))


def read_manifest(root: str, sync_id: str, max_bytes: int) -> Blob | Failure:
    """The manifest of a bundle that is handed over: one without its sentinel is not even looked at."""
    name = f"{sync_id}.json"
    try:
        with opened(root, "sync", FOLDER) as folder:
            if not _is_there(folder, f"{sync_id}.ready"):
                return Failure(f"sync/{sync_id}.ready, the sentinel, does not exist", no_sentinel=True)
            with below(folder, name, PLAIN) as fd:
                return _read_whole(fd, name, max_bytes)
    except BadEntry as bad:
        return Failure(bad.problem)
    except OSError as error:
        return Failure(f"sync/{name}: {error.strerror}")


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _read_whole(fd: int, name: str, max_bytes: int) -> Blob | Failure:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return Failure(f"{name} is not a regular file")
    if os.fstat(fd).st_size > max_bytes:
        return Failure(f"{name} has {os.fstat(fd).st_size} bytes, more than {max_bytes}", too_large=True)
    data = b"".join(blocks(fd, max_bytes + 1))
    if len(data) > max_bytes:
        return Failure(f"{name} has more than {max_bytes} bytes", too_large=True)
    return Blob(data)


def read_item(
    root_fd: int, want: Want, request: ReadItems, on_bytes: Callable[[int], None] = lambda _count: None
) -> Reading:
    """Documents and file checks of one item; never raises for what is wrong with it.

    `on_bytes` is told of each block of a file being verified, which may take longer than any deadline.
    """
    reading = Reading(want.ordinal)
    try:
        with below(root_fd, want.path, FOLDER) as folder:
            for file in want.files if request.verify != "none" else ():
                _verify(folder, file, request.verify == "sha256", on_bytes)
            if want.documents:
                _read_documents(folder, request.max_document_bytes, reading)
    except FileNotFoundError as error:
        reading.absent = bool(want.files)
        if want.files and request.verify != "none":
            reading.reason, reading.problem = Reason.FILE_MISSING, f"{want.path}: {error.strerror}"
    except BadEntry as bad:
        reading.reason, reading.problem = bad.reason, f"{want.path}: {bad.problem}"
        reading.absent = bad.reason is Reason.FILE_MISSING
    except OSError as error:
        reading.reason, reading.problem = Reason.FILE_UNREADABLE, f"{want.path}: {error.strerror}"
        reading.transient = error.errno in TRANSIENT
    return reading


def _verify(folder: int, file: File, deeply: bool, on_bytes: Callable[[int], None]) -> None:
    with _regular(folder, file.path) as (fd, found):
        if file.bytes is not None and found.st_size != file.bytes:
            problem = f"{file.path} has {found.st_size} bytes, the manifest says {file.bytes}"
            raise BadEntry(Reason.FILE_SIZE_MISMATCH, problem)
        if not deeply or file.sha256 is None:
            return
        digest = hashlib.sha256()
        for block in blocks(fd):
            digest.update(block)
            on_bytes(len(block))
        if digest.hexdigest() != file.sha256:
            raise BadEntry(Reason.FILE_HASH_MISMATCH, f"{file.path} has sha256 {digest.hexdigest()}, not {file.sha256}")


@contextmanager
def _regular(folder: int, path: str) -> Iterator[tuple[int, os.stat_result]]:
    try:
        with below(folder, path, PLAIN) as fd:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise BadEntry(Reason.FILE_MISSING, f"{path} is not a regular file")
            yield fd, found
    except FileNotFoundError:
        raise BadEntry(Reason.FILE_MISSING, f"{path} does not exist") from None


def _read_documents(folder: int, max_bytes: int, reading: Reading) -> None:
    """source/source.json and every regular file of source/data, in order of name; no folder, no documents."""
    try:
        with below(folder, "source", FOLDER) as source:
            try:
                with below(source, "source.json", PLAIN) as fd:
                    _append(reading, SOURCE, "source.json", fd, max_bytes)
            except FileNotFoundError:
                pass
            with below(source, "data", FOLDER) as data:
                for name in sorted(os.listdir(data), key=os.fsencode):
                    _read_document(data, name, max_bytes, reading)
    except FileNotFoundError:
        return


def _read_document(data: int, name: str, max_bytes: int, reading: Reading) -> None:
    try:
        with below(data, name, PLAIN, checked=True) as fd:
            _append(reading, kind_of(name), name, fd, max_bytes)
    except FileNotFoundError:
        # Listed and yet not there: an object store catching up. Going on without it would retire the document.
        raise OSError(errno.ESTALE, f"{shown(name)} is listed in source/data, but not there") from None
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket, which is no more a document than a FIFO is
            raise


def _append(reading: Reading, kind: str, name: str, fd: int, max_bytes: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return
    data = b"".join(blocks(fd, max_bytes + 1))
    if len(data) > max_bytes:
        raise BadEntry(Reason.DOCUMENT_TOO_LARGE, f"{shown(name)} has more than {max_bytes} bytes")
    if (problem := depth_problem(data)) is not None and (is_json(data) or _is_bottomless(data)):
        raise BadEntry(Reason.DOCUMENT_TOO_DEEP, f"{shown(name)} is {problem}")
    reading.bytes_read += len(data)
    reading.documents.append(Document(kind, hashlib.sha256(data).hexdigest(), as_json(data)))


def kind_of(name: str) -> str:
    """The analysis kind of a file of source/data. Bytes outside printable ASCII, and `%`, are percent-encoded."""
    known = KINDS.get(name)
    if known:
        return known
    printable = (chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in os.fsencode(name))
    return "source_data:" + "".join(printable)


def as_json(data: bytes) -> str:
    """A document as JSON text: unchanged if it is JSON, else wrapped as text, or as base64 if it is no UTF-8."""
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


def _is_bottomless(data: bytes) -> bool:
    """Whether text is nested so deep that no parser can tell whether it is JSON."""
    try:
        json.loads(data)
    except RecursionError:
        return True
    except ValueError:
        return False
    return False


def shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def blocks(fd: int, limit: int | None = None) -> Iterator[bytes]:
    """The content of an open file, at most `limit` bytes of it."""
    while limit is None or limit > 0:
        block = os.read(fd, BLOCK if limit is None else min(BLOCK, limit))
        if not block:
            return
        if limit is not None:
            limit -= len(block)
        yield block


@contextmanager
def opened(root: str, path: str, flags: int) -> Iterator[int]:
    """A descriptor of root/path. The root itself is the operator's, and may be a link."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with below(root_fd, path, flags) as fd:
            yield fd
    finally:
        os.close(root_fd)


@contextmanager
def below(folder: int, path: str, flags: int, *, checked: bool = False) -> Iterator[int]:
    """A descriptor of `path` below an open folder. Raises BadEntry when it would leave it or meets a symlink."""
    if not checked and not CLEAN_PATH.fullmatch(path):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{path!r} is not a plain relative path")
    *parents, last = path.split("/")
    fd = folder
    try:
        for part in parents:
            fd = _step(fd, part, FOLDER, folder)
        fd = _step(fd, last, flags, folder)
        yield fd
    finally:
        if fd != folder:
            os.close(fd)


def _step(fd: int, part: str, flags: int, start: int) -> int:
    try:
        next_fd = os.open(part, flags, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            _refuse_link(fd, part)
            raise FileNotFoundError(errno.ENOENT, f"{shown(part)} is not a folder") from None
        raise
    if fd != start:
        os.close(fd)
    return next_fd


def _refuse_link(fd: int, part: str) -> None:
    if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
        raise BadEntry(Reason.PATH_OUTSIDE_ROOT, f"{shown(part)} is a symbolic link")

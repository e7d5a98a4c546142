"""Reading media files and writing bundle files, with errors that name the file and what to do."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from ingestd.errors import BundleError
from ingestd.mount.paths import printable

BLOCK = 1 << 20


@contextmanager
def _bundle_errors(verb: str, path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"cannot {verb} {printable(str(path))}: {error.strerror}; {hint}") from error


def read_errors(path: Path) -> AbstractContextManager[None]:
    """Turns an OSError from reading a media file into a BundleError."""
    return _bundle_errors("read", path, "make it readable or move it to another folder")


def write_errors(path: Path) -> AbstractContextManager[None]:
    """Turns an OSError from writing below the root into a BundleError."""
    return _bundle_errors("write", path, "choose a folder with write permission and enough space")


def make_folder(path: Path) -> None:
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, parts: Iterable[bytes]) -> None:
    """Writes a file atomically: it exists with its whole content or not at all, also after a power failure."""
    part = path.parent / f".{secrets.token_hex(8)}.part"
    with write_errors(path):
        try:
            with part.open("xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def copy_file(source: Path, target: Path, on_block: Callable[[bytes], None]) -> None:
    """Copies a file atomically; `on_block` sees its content."""
    with read_errors(source), source.open("rb") as file:
        write_file(target, _blocks(source, file, on_block))


def _blocks(path: Path, file: BinaryIO, on_block: Callable[[bytes], None]) -> Iterator[bytes]:
    while True:
        # This runs within write_file, which would report an error of reading as one of writing.
        with read_errors(path):
            block = file.read(BLOCK)
        if not block:
            return
        on_block(block)
        yield block


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

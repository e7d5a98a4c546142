"""Reading media files and writing bundle files, with errors that name the file and what to do."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ingestd.errors import BundleError
from ingestd.mount.paths import printable

BLOCK = 1 << 20


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns an OSError from reading a media file into a BundleError."""
    try:
        yield
    except OSError as error:
        problem = f"cannot read {printable(str(path))}: {error.strerror}"
        raise BundleError(f"{problem}; make it readable or move it to another folder") from error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turns an OSError from writing below the root into a BundleError."""
    try:
        yield
    except OSError as error:
        problem = f"cannot write {printable(str(path))}: {error.strerror}"
        raise BundleError(f"{problem}; choose a folder with write permission and enough space") from error


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

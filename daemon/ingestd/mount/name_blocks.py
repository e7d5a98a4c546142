"""The names in a folder, in large blocks as the kernel gives them.

A remote file system is asked once for many names (Linux 6.16 and later pass the size of the buffer on to FUSE), and of
very many sentinels no name has to be looked at alone.
"""

import ctypes
import os
import struct
from collections.abc import Iterator

from ingestd.mount.records import SYNC_ID_LENGTH as ID_LENGTH

BLOCK_BYTES = 2**18
SYSTEM_CALLS = {"x86_64": 217, "aarch64": 61}
"""getdents64(2), which the C library has no function for before glibc 2.30"""
# struct linux_dirent64: inode, offset, length of the record and type, then the name, NUL and padding to 8 bytes.
LENGTH_AT, TYPE_AT, NAME_AT = 16, 18, 19
_LENGTH = struct.Struct("=H")
REGULAR = b"\x08"
"""the type of a regular file; not all file systems give types"""
READY, JSON = b".ready\0", b".json\0"
PLAIN_LENGTH = 64
"""bytes of a record whose name is a sync_id with one of these suffixes"""
DOTS, DOT_LENGTH = (b".", b".."), 24
DOT_RECORDS = tuple(_LENGTH.pack(DOT_LENGTH) + b"\4" + name + b"\0" for name in DOTS)
"""what their records have behind the offset; the 4 is the type of a folder"""
HEX, DASHES_AT = b"0123456789abcdef", (8, 13, 18, 23)


def blocks(folder: int) -> Iterator[bytes]:
    """The records of an open folder, some at a time. Raises OSError."""
    libc, buffer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(BLOCK_BYTES)
    number = SYSTEM_CALLS[os.uname().machine]
    while count := libc.syscall(number, folder, buffer, BLOCK_BYTES):
        if count < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        yield ctypes.string_at(buffer, count)


def names(block: bytes) -> list[bytes]:
    """All names of a block, but `.` and `..`."""
    found, at = [], 0
    while at < len(block):
        found.append(_name(block, at))
        at += _length(block, at)
    return [name for name in found if name not in DOTS]


def plain_ids(block: bytes, suffix: bytes) -> bytes | None:
    """The sync_ids whose names have a suffix (READY or JSON), one after another, where all names are plain; else None.

    Takes a few passes over all bytes, and no look at each name.
    """
    if len(block) % PLAIN_LENGTH:
        block = _without_dots(block)
    count, rest = divmod(len(block), PLAIN_LENGTH)
    if rest or not _are_plain(block, count):
        return None
    parts = block.split(suffix)
    if len(parts) - 1 + block.count(JSON if suffix == READY else READY) != count:
        return None
    joined = b"".join([part[-ID_LENGTH:] for part in parts[:-1]])
    return joined if _are_ids(joined) else None


def are_files(block: bytes) -> bool:
    """Whether all records of a block whose names are plain say that they are of regular files."""
    if len(block) % PLAIN_LENGTH:
        block = _without_dots(block)
    return block[TYPE_AT::PLAIN_LENGTH] == REGULAR * (len(block) // PLAIN_LENGTH)


def _without_dots(block: bytes) -> bytes:
    """A block without `.` and `..`, wherever the file system has them, as far as can be found in one pass."""
    for record_end in DOT_RECORDS:
        at = block.find(record_end) - LENGTH_AT
        if at >= 0:
            block = block[:at] + block[at + DOT_LENGTH :]
    return block


def _are_plain(block: bytes, count: int) -> bool:
    """Whether all records have the length of plain ones, and a dot where the sync_id ends."""
    places = (LENGTH_AT, LENGTH_AT + 1, NAME_AT + ID_LENGTH)
    expected = _LENGTH.pack(PLAIN_LENGTH) + b"."
    return all(block[at::PLAIN_LENGTH] == expected[i : i + 1] * count for i, at in enumerate(places))


def _are_ids(joined: bytes) -> bool:
    """Whether these are sync_ids, one after another."""
    count, rest = divmod(len(joined), ID_LENGTH)
    dashes = b"-" * count
    if rest or any(joined[at::ID_LENGTH] != dashes for at in DASHES_AT):
        return False
    return joined.translate(None, HEX) == b"-" * (len(DASHES_AT) * count)


def _name(block: bytes, at: int) -> bytes:
    return block[at + NAME_AT : block.index(b"\0", at + NAME_AT)]


def _length(block: bytes, at: int) -> int:
    (length,) = _LENGTH.unpack_from(block, at + LENGTH_AT)
    return int(length)

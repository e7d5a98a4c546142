"""On which mount an open file is: the kernel knows that, and does not ask the file system."""

import ctypes
import struct

# From linux/stat.h and linux/fcntl.h; Python does not have statx yet.
STATX_FLAGS = 0x1000 | 0x4000  # AT_EMPTY_PATH, AT_STATX_DONT_SYNC
STATX_MNT_ID_UNIQUE, STATX_BYTES, STATX_MASK_AT, STATX_MNT_ID_AT = 0x4000, 256, 0, 144
_statx = getattr(ctypes.CDLL(None), "statx", None)


def unique_mount_id(file: int) -> int:
    """A number that no other mount gets until the next boot; 0 on Linux before 6.8, which has no such number."""
    filled = ctypes.create_string_buffer(STATX_BYTES)
    if _statx is None or _statx(file, b"", STATX_FLAGS, STATX_MNT_ID_UNIQUE, filled):
        return 0
    (known,) = struct.unpack_from("=I", filled, STATX_MASK_AT)
    (unique_id,) = struct.unpack_from("=Q", filled, STATX_MNT_ID_AT)
    return int(unique_id) if known & STATX_MNT_ID_UNIQUE else 0

"""Reads small text files that people write: configuration, passwords, tokens."""

import codecs
import os
import stat
from pathlib import Path

MAX_BYTES = 2**20
"""a name that means /dev/zero must not fill the memory"""


def read_text(file: str | Path) -> str:
    """The text of a small file in UTF-8, without a byte order mark.

    Raises OSError, or ValueError with the reason. A pipe is refused: waiting for its writer could take forever.
    """
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        raise ValueError("it is not valid UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("it contains NUL characters, as UTF-16 does; save it as UTF-8")
    return text

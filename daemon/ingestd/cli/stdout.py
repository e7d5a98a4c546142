"""Standard output that is closed, full, or has an encoding without the characters to print."""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from ingestd.errors import OutputFailed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DESCRIPTOR = 1


class Output(io.FileIO):
    """Standard output. Raises OutputFailed when it cannot be written, unless its reader has had enough."""

    def write(self, data: "ReadableBuffer") -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _discard()
            raise OutputFailed(f"standard output cannot be written: {error.strerror}") from error


def prepare() -> None:
    """Makes the process write standard output through `Output`, also if it is closed: then nothing would fail.

    Characters that its encoding lacks are escaped.
    """
    if sys.stdout is None:
        # The descriptor is taken, too, so that no connection gets its number.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, DESCRIPTOR)
    elif not _is_own(sys.stdout):
        return
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    buffer = io.BufferedWriter(Output(DESCRIPTOR, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=os.isatty(DESCRIPTOR))


def _is_own(stream: TextIO) -> bool:
    """Whether it writes to the descriptor of standard output; that of a test does not."""
    try:
        return stream.fileno() == DESCRIPTOR
    except (OSError, ValueError):
        return False


def _discard() -> None:
    """Lets the rest go nowhere: Python writes it when it ends, and would report once more that it cannot."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), DESCRIPTOR)

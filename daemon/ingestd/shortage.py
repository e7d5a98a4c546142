"""What this process or its machine lacks for the moment: descriptors, threads, processes, memory, room on its disks.

This is the only place that says which errors these are. They say nothing about a bundle, an item or a job, so that work
is put back and tried again later. MemoryError is not one of them: a bundle may need more memory than there is, and
trying its items one by one shows whether that is so.
"""

import errno
import os
from contextlib import ExitStack

from ingestd.errors import Shortage

NUMBERS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT})
SPARE_DESCRIPTORS = 8
"""more than one read needs at a time"""
NO_THREAD = "can't start new thread"
"""the message of the RuntimeError that Python raises then"""


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage that an error is about; None for any other error."""
    if isinstance(error, Shortage):
        return error
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return Shortage(f"this process or machine has too few resources: {error}")
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return Shortage(f"this process or machine has too few resources: {error}")
    return None


def underlying_shortage(error: BaseException) -> Shortage | None:
    """The shortage from which an error came, through all errors in between.

    A socket of a server that is asked by too many gives EAGAIN: that is the server's.
    """
    at: BaseException | None = error
    while at is not None:
        if (shortage := shortage_of(at)) is not None and getattr(at, "errno", None) != errno.EAGAIN:
            return shortage
        at = at.__cause__ or at.__context__
    return None


def memory_shortage(error: BaseException) -> Shortage | None:
    """The same for MemoryError, where no bundle can be the cause, or where the work is done again in any case."""
    return Shortage("this process has too little memory") if isinstance(error, MemoryError) else None


def require_descriptors(error: OSError) -> None:
    """Raises Shortage if this process can hardly open a file.

    For errors of files on a mount: a file system may return the same error numbers for reasons of its own. The
    code that met the error may have closed some of its files since.
    """
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return
    with ExitStack() as opened:
        try:
            for _ in range(SPARE_DESCRIPTORS):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as own:
            if (shortage := shortage_of(own)) is not None:
                raise shortage from error

"""Runs one piece of work of a mount helper in a process of its own, with a limit of memory.

The work shares the helper's memory as it was before, and its descriptors. What it does to its own memory ends with it.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

from ingestd.mount.memory import limit_memory

PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY, CRASHED = 3, 4


class OutOfMemory(Exception):
    """The work needed more memory than it was allowed."""


class Died(Exception):
    """The process of the work ended early; the message names it and says how."""


def run(work: Callable[[], None], memory: int) -> None:
    """Runs the work with `memory` bytes more than are in use. Raises OutOfMemory, Died. Only for a single thread."""
    pid = os.fork()
    if pid == 0:
        _run_and_exit(work, memory)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == OUT_OF_MEMORY:
        raise OutOfMemory
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise Died(f"the process {pid} {how}")


def _run_and_exit(work: Callable[[], None], memory: int) -> None:
    status = CRASHED
    try:
        # A helper that is killed must not leave this process behind.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        limit_memory(memory)
        work()
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    except BrokenPipeError:
        pass
    except BaseException:  # noqa: BLE001 - an unforeseen error ends this process, with its traceback
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)

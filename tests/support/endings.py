"""How a daemon that was sent a signal may end: with status 0 and no exception, or before it began."""

from collections.abc import Sequence
from pathlib import Path
from signal import Signals

import ingestd
from support.process import Process

PACKAGE = str(Path(ingestd.__file__).parent)
"""stands in every traceback of code of ours"""
INTERRUPTED = "KeyboardInterrupt"
EXCEPTIONS = ("Traceback", "exception", "service_failed", "Error:", "interrupted")


def demand_no_exception(process: Process) -> None:
    for sign in EXCEPTIONS:
        assert sign not in process.log, process.log


def demand_good_end(process: Process, numbers: Sequence[Signals], status: int) -> None:
    """Status 0, or death by the signal before any code of ours: silent, or in the start of the interpreter."""
    if status == 0:
        demand_no_exception(process)
        return
    assert PACKAGE not in process.log, process.log
    if process.log.rstrip().endswith(INTERRUPTED):
        assert status in (1, *(-number for number in numbers)), process.log
    else:
        assert (status in [-number for number in numbers], process.log) == (True, "")

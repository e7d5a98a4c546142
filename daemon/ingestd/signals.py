"""Signals to the daemon: SIGTERM, SIGINT and SIGQUIT stop it, SIGHUP makes it scan, others are ignored.

Handlers take no locks: they run between any two instructions of the main thread, which may hold the same lock.
"""

import os
import select
import signal
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
HANDLED = (
    *STOPPING, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
    signal.SIGPOLL, signal.SIGPWR,
)  # fmt: skip
"""Signals that would end the process by default, and are not about a fault in it."""


def exit_when_stopped() -> None:
    """For the time before anything was started: the first signal to stop ends the process at once, with status 0.

    An exception in the place where the main thread happens to be could be swallowed, or be replaced by another one.
    """
    for number in HANDLED:
        signal.signal(number, _exit if number in STOPPING else _nothing)


def ignore_all() -> None:
    """For the time after the daemon ran: a second signal must not turn a clean exit into a killed one."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """The signals that arrive from now on. For the main thread only."""

    def __init__(self) -> None:
        self._read_end, write_end = os.pipe()
        for end in (self._read_end, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _nothing)

    def wait(self, seconds: float) -> list[signal.Signals]:
        """The signals that arrived, as soon as there is one; none after so many seconds."""
        if not select.select([self._read_end], [], [], seconds)[0]:
            return []
        received = map(signal.Signals, os.read(self._read_end, 512))
        return [number for number in received if number in HANDLED]

    def stop_within(self, seconds: float) -> bool:
        """Whether one of the signals that arrive within so many seconds stops the daemon; others mean nothing yet."""
        return any(number in STOPPING for number in self.wait(seconds))


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Nothing; unlike with SIG_IGN, child processes get the default again."""

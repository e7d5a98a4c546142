"""A daemon in this process that is idle, so that only the test causes further work."""

from collections.abc import Iterator
from contextlib import contextmanager

from ingestd.app import Daemon
from ingestd.config import Settings
from support.kept_helpers import keep_helpers
from support.wait import until

QUIET = {"rescan_interval": 1000.0, "watch": "poll", "poll_interval": 1000.0}
"""settings of a mount that is scanned only on request, after the first time"""


def until_watching(daemon: Daemon) -> None:
    """Waits until the watcher is active and the full scan that it triggers is finished."""
    until(lambda: daemon.scanner.last_success and daemon.watcher.kind, what="for the watcher")
    until(lambda: daemon.scanner._delay() > 0, what="for the scan after that")


@contextmanager
def watching(settings: Settings) -> Iterator[Daemon]:
    """Starts a daemon and waits until it is idle; stops it afterwards."""
    daemon = Daemon(settings)
    keep_helpers(daemon.context)
    daemon.start()
    try:
        until_watching(daemon)
        yield daemon
    finally:
        daemon.stop()

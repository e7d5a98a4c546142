"""Waits until a daemon in this process is idle, so that only the test causes further work."""

from ingestd.app import Daemon
from support.wait import until


def until_watching(daemon: Daemon) -> None:
    """Waits until the watcher is active and the full scan that it triggers is finished."""
    until(lambda: daemon.scanner.last_success and daemon.watcher.kind, what="for the watcher")
    until(lambda: daemon.scanner._delay() > 0, what="for the scan after that")

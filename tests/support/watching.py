"""A daemon in this process that has come to rest: from now on only what is done to it makes it do anything."""

from ingestd.app import Daemon
from support.wait import until


def until_watching(daemon: Daemon) -> None:
    """Waits until the watcher is armed, and the full scan is over that it asks for when it is."""
    until(lambda: daemon.scanner.last_success and daemon.watcher.kind, what="for the watcher")
    demands = daemon.scanner._demands
    until(lambda: [outcome.state for outcome in demands._outcomes.values()] == ["done"], what="for the scan after that")

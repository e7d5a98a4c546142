"""A listening socket with threads of its own, so that many clients of one listener cannot starve another listener."""

import resource
import socket
import threading

import structlog

from ingestd.errors import CannotListen
from ingestd.waitress_internals import Server, WsgiApp

log = structlog.get_logger()

CONNECTION_LIMIT = 1000
CHANNEL_TIMEOUT = 30
MAX_BODY_BYTES = 2**20
DRAIN_SECONDS = 3.0
WANTED_FILES = 4 * CONNECTION_LIMIT
"""open files; enough for two listeners at their limits, the database, the mount and the log"""


class Listener:
    """Serves a WSGI application on `listen` (address:port; port 0: any free port).

    `section` is the part of the configuration that holds the address. start() and stop() may each be called twice.
    """

    def __init__(self, section: str, listen: str, app: WsgiApp, threads: int = 4) -> None:
        self._section, self._listen, self._app, self._threads = section, listen, app, threads
        self._running: tuple[Server, threading.Thread] | None = None

    @property
    def address(self) -> str:
        """The actual address and port; only while it runs."""
        assert self._running is not None, "the listener is not running"
        return self._running[0].address

    def start(self) -> None:
        """Raises CannotListen if the address is taken or does not belong to this host."""
        if self._running is not None:
            return
        _raise_file_limit()
        server = Server(
            self._app,
            self._bind(),
            threads=self._threads,
            connection_limit=CONNECTION_LIMIT,
            channel_timeout=CHANNEL_TIMEOUT,
            max_request_body_size=MAX_BODY_BYTES,
            ident=None,
        )
        thread = threading.Thread(target=server.run, name=f"{self._section}-listener", daemon=True)
        self._running = (server, thread)
        thread.start()
        log.info("listening", section=self._section, address=self.address)

    def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Lets running requests end, then closes every connection. Each of these steps may take `seconds`."""
        running, self._running = self._running, None
        if running is not None:
            server, thread = running
            server.stop(thread, seconds)

    def _bind(self) -> socket.socket:
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, int(port)), family=family, backlog=CONNECTION_LIMIT)
        except OSError as error:
            reason = f"cannot listen on {self._listen}: {error.strerror}"
            raise CannotListen(f"{reason}; change [{self._section}] listen") from error


def _raise_file_limit() -> None:
    """Raises the soft limit of open files: many connections must leave files for the rest of the daemon."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == unlimited else min(WANTED_FILES, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:  # a sandbox may forbid it, and then sets the limit itself
            log.debug("file_limit_kept", error=str(error))
    if soft != unlimited and soft < WANTED_FILES:
        log.warning("few_files", limit=soft, wanted=WANTED_FILES, reason="many connections would starve other parts")

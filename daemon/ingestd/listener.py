"""A listening socket with threads of its own, so that many clients of one listener cannot starve another listener."""

import math
import resource
import socket
import threading
import time

import structlog

from ingestd.errors import CannotListen
from ingestd.waitress_internals import Server, WsgiApp

log = structlog.get_logger()

CONNECTION_LIMIT = 1000
CHANNEL_TIMEOUT = 30
KEPT_BODY_BYTES, MAX_BODY_BYTES = 2**16, 2**20
"""of a body that is kept, and of one that is read to its end before it is refused"""
BODY_IN_MEMORY, MAX_HEADER_BYTES = 2**14, 2**14
"""what a connection may fill before its sender is known; the rest of a body goes to a temporary file"""
REPORT_SECONDS = 60.0
DRAIN_SECONDS = 3.0
OTHER_FILES, FILE_SHARE, MIN_CONNECTIONS = 32, 8, 4
"""Open files of a process that idles; of the others, one of so many is for the connections of a listener, each of which
may have a temporary file, too: so two listeners at their limits leave half to the database, the mount and the log."""
WANTED_FILES = FILE_SHARE * CONNECTION_LIMIT + OTHER_FILES


class Listener:
    """Serves a WSGI application on `listen` (address:port; port 0: any free port).

    `section` is the part of the configuration that holds the address. start() and stop() may each be called twice.
    """

    def __init__(self, section: str, listen: str, app: WsgiApp, threads: int = 4) -> None:
        self._section, self._listen, self._app, self._threads = section, listen, app, threads
        self._running: tuple[Server, threading.Thread] | None = None
        self._limit = CONNECTION_LIMIT
        self._closed, self._reported_at = 0, float("-inf")

    @property
    def address(self) -> str:
        """The actual address and port; only while it runs."""
        assert self._running is not None, "the listener is not running"
        return self._running[0].address

    def start(self) -> None:
        """Raises CannotListen if the address is taken or does not belong to this host."""
        if self._running is not None:
            return
        self._limit = _connection_limit(_raise_file_limit())
        server = Server(
            self._app,
            self._bind(),
            connections=self._limit,
            kept_body=KEPT_BODY_BYTES,
            on_closed=self._report_full,
            threads=self._threads,
            channel_timeout=CHANNEL_TIMEOUT,
            max_request_body_size=MAX_BODY_BYTES,
            max_request_header_size=MAX_HEADER_BYTES,
            inbuf_overflow=BODY_IN_MEMORY,
            ident=None,
        )
        thread = threading.Thread(target=server.run, name=f"{self._section}-listener", daemon=True)
        thread.start()
        self._running = (server, thread)
        log.info("listening", section=self._section, address=self.address)

    def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Lets running requests end, then closes every connection. Each of these steps may take `seconds`."""
        running, self._running = self._running, None
        if running is not None:
            server, thread = running
            server.stop(thread, seconds)

    def _report_full(self) -> None:
        """Logs, at most once a minute, that clients without a complete request are closed to make room."""
        self._closed += 1
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            log.warning("connections_closed", section=self._section, count=self._closed, limit=self._limit)
            self._closed, self._reported_at = 0, now

    def _bind(self) -> socket.socket:
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, int(port)), family=family, backlog=CONNECTION_LIMIT)
        except OSError as error:
            reason = f"cannot listen on {self._listen}: {error.strerror}"
            raise CannotListen(f"{reason}; change [{self._section}] listen") from error


def _connection_limit(files: float) -> int:
    """How many connections a listener may have in a process that may open so many files."""
    if files < WANTED_FILES:
        share = max(MIN_CONNECTIONS, int(files - OTHER_FILES) // FILE_SHARE)
        return min(CONNECTION_LIMIT, share)
    return CONNECTION_LIMIT


def _raise_file_limit() -> float:
    """Raises the soft limit of open files: many connections must leave files for the rest of the daemon.

    Returns the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == unlimited else min(WANTED_FILES, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:  # a sandbox may forbid it, and then sets the limit itself
            log.debug("file_limit_kept", error=str(error))
    if soft == unlimited:
        return math.inf
    if soft < WANTED_FILES:
        log.warning("few_files", limit=soft, wanted=WANTED_FILES, connections=_connection_limit(soft))
    return soft

"""A listening socket with its own threads, so that many clients of one listener cannot starve the others."""

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from waitress.server import create_server
from waitress.wasyncore import dispatcher, poll2

from ingestd.errors import CannotListen

log = structlog.get_logger()

CONNECTION_LIMIT = 1000
CHANNEL_TIMEOUT = 30
MAX_BODY_BYTES = 2**20
DRAIN_SECONDS = 3.0
POLL_SECONDS = 0.05
PAUSE_PER_CONNECTION = 0.00005
FILES_WANTED = 4 * CONNECTION_LIMIT
"""Open files needed for two full listeners, the database, the mount and the log."""

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Listener:
    """Serves a WSGI application on `listen` (address:port; port 0: any free one). start(), stop() may be called twice.

    `section` names the part of the configuration that chose the address.
    """

    def __init__(self, section: str, listen: str, app: WsgiApp, threads: int = 4) -> None:
        self._section, self._listen, self._app, self._threads = section, listen, app, threads
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The actual address, also for port 0."""
        return f"{self._server.effective_host}:{self._server.effective_port}"

    def start(self) -> None:
        """Raises CannotListen if the address is in use, or does not belong to this machine."""
        if self._server is not None:
            return
        _make_room_for_connections()
        self._server = create_server(
            self._app,
            sockets=[self._bind()],
            threads=self._threads,
            connection_limit=CONNECTION_LIMIT,
            channel_timeout=CHANNEL_TIMEOUT,
            max_request_body_size=MAX_BODY_BYTES,
            ident=None,
            # select() takes no file whose number is above 1023, and ends the thread that asks.
            asyncore_use_poll=True,
        )
        self._server.asyncore = _Unhurried
        self._thread = threading.Thread(target=self._server.run, name=f"{self._section}-listener", daemon=True)
        self._thread.start()
        log.info("listening", section=self._section, address=self.address)

    def _bind(self) -> socket.socket:
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, int(port)), family=family, backlog=CONNECTION_LIMIT)
        except OSError as error:
            reason = f"cannot listen on {self._listen}: {error.strerror}"
            raise CannotListen(f"{reason}; see [{self._section}] listen") from error

    def stop(self) -> None:
        """Lets running requests finish for a few seconds, then closes every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.task_dispatcher.shutdown(cancel_pending=False, timeout=DRAIN_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline and _has_unsent(server):
            time.sleep(POLL_SECONDS)
        # In its own thread: it would fail on sockets that are closed while it polls them, and leave others open.
        server.trigger.pull_trigger(lambda: _close_sockets(server))
        if self._thread is not None:
            self._thread.join(DRAIN_SECONDS)
        # A request that outlives its connection may still write to this pipe: its descriptor must not be reused yet.
        if not server.task_dispatcher.threads:
            server.trigger.close()


class _Unhurried:
    """Sleeps per open connection, which bounds CPU under slow clients.

    Waitress examines every connection whenever one of them sends a byte. With few connections the sleep is negligible.
    """

    @staticmethod
    def loop(timeout: float, map: dict[int, Any], use_poll: bool) -> None:  # noqa: ARG004  as Waitress calls it
        while map:
            known = len(map)
            poll2(timeout, map)
            # Connections are accepted one by one: do not sleep after each of them.
            if len(map) <= known:
                time.sleep(PAUSE_PER_CONNECTION * known)


def _make_room_for_connections() -> None:
    """Raises the limit of open files, so that many connections leave enough for other parts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = FILES_WANTED if hard == unlimited else min(FILES_WANTED, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:  # a sandbox may forbid it, and then sets the limit itself
            log.debug("file_limit_kept", error=str(error))
    if soft != unlimited and soft < FILES_WANTED:
        log.warning("few_files", limit=soft, wanted=FILES_WANTED, reason="many connections would starve other parts")


def _close_sockets(server: Any) -> None:
    """Closes all sockets except the trigger, which its caller may still be using; the server's close() closes that."""
    for channel in [channel for channel in server._map.values() if channel not in (server, server.trigger)]:
        channel.close()
    dispatcher.close(server)
    server._map.clear()


def _has_unsent(server: Any) -> bool:
    channels = list(server.active_channels.values())
    return any(channel.total_outbufs_len for channel in channels)

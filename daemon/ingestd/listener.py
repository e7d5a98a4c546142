"""One listening socket with threads of its own, so that whoever crowds one listener cannot starve the others."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from waitress.server import create_server
from waitress.wasyncore import dispatcher

from ingestd.errors import CannotListen

log = structlog.get_logger()

CONNECTION_LIMIT = 1000
CHANNEL_TIMEOUT = 30
MAX_BODY_BYTES = 2**20
DRAIN_SECONDS = 3.0
POLL_SECONDS = 0.05

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
        """Where it really listens."""
        return f"{self._server.effective_host}:{self._server.effective_port}"

    def start(self) -> None:
        """Raises CannotListen when the address is taken, or is none of this machine's."""
        if self._server is not None:
            return
        self._server = create_server(
            self._app,
            sockets=[self._bind()],
            threads=self._threads,
            connection_limit=CONNECTION_LIMIT,
            channel_timeout=CHANNEL_TIMEOUT,
            max_request_body_size=MAX_BODY_BYTES,
            ident=None,
        )
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
        """Lets requests under way end, for a few seconds, then closes every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.task_dispatcher.shutdown(cancel_pending=False, timeout=DRAIN_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline and _has_unsent(server):
            time.sleep(POLL_SECONDS)
        # By its own thread: closed under its select(), sockets make that fall over them, and others stay open.
        server.trigger.pull_trigger(lambda: _close_sockets(server))
        if self._thread is not None:
            self._thread.join(DRAIN_SECONDS)
        # A request that outlives its connection may still write to this pipe, whose number must not be another's then.
        if not server.task_dispatcher.threads:
            server.trigger.close()


def _close_sockets(server: Any) -> None:
    """All but the trigger, which whoever pulled it may not be done with: the server's own close() takes it along."""
    for channel in [channel for channel in server._map.values() if channel not in (server, server.trigger)]:
        channel.close()
    dispatcher.close(server)
    server._map.clear()


def _has_unsent(server: Any) -> bool:
    channels = list(server.active_channels.values())
    return any(channel.total_outbufs_len for channel in channels)

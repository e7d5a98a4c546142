"""Everything of waitress that its documentation does not promise. `tests/unit/test_waitress_internals.py` checks it.

Waitress itself cannot end cleanly from another thread, and its poll loop examines every connection whenever one of them
sends a byte. When it has as many connections as it may, it accepts no more, so that clients that never finish a request
keep out all others; and it keeps every body until the request is complete, however large. setup.cfg pins waitress below
the next major version.
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.wasyncore import dispatcher, poll2

from ingestd.shortage import shortage_of

PAUSE_PER_CONNECTION = 0.00005
REPLACING_SHARE = 0.1
"""of that pause while every accepted connection replaces another: those in the queue must not wait long either"""
DRAIN_POLL_SECONDS = 0.05
ACCEPT_PAUSE, COMPLAINT_SECONDS = 0.2, 60.0
"""without a descriptor for a connection: seconds until the next try, and between two lines in the log"""
MARGIN = 16
"""entries of the poll loop beside the connections, and connections that are about to be closed"""

log = structlog.get_logger()

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server:
    """A waitress server on a bound socket. `options` are those of waitress.serve().

    Above `connections`, each new connection closes the oldest one that has no complete request, and calls `on_closed`.
    A body above `kept_body` bytes is counted, and not kept.
    """

    def __init__(
        self,
        app: WsgiApp,
        bound: socket.socket,
        *,
        connections: int = 100,
        kept_body: int = 2**16,
        on_closed: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        # One warning for each request that has to wait would fill the log when clients are slow.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        # select() rejects descriptors above 1023, and would end the thread.
        limit = connections + MARGIN
        self._server: Any = create_server(
            app, sockets=[bound], asyncore_use_poll=True, connection_limit=limit, **options
        )
        self._loop = self._server.asyncore = _PausingLoop()
        self._server.channel_class = self._open
        self._accept, self._server.accept = self._server.accept, self._accept_or_pause
        self._complained_at = -math.inf
        self._connections, self._kept_body, self._on_closed = connections, kept_body, on_closed

    @property
    def address(self) -> str:
        return f"{self._server.effective_host}:{self._server.effective_port}"

    def run(self) -> None:
        """Serves until `stop`."""
        self._server.run()

    def stop(self, thread: threading.Thread, drain_seconds: float) -> None:
        """Waits for running requests and their responses, then closes all connections. `thread` is in `run`."""
        self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=drain_seconds)
        self._wait_for_responses(drain_seconds)
        # The polling thread closes the sockets: closed by another thread, they make its poll fail, and others leak.
        self._server.trigger.pull_trigger(self._close_sockets)
        thread.join(drain_seconds)
        # A request that outlives its connection still writes to this pipe, whose number must not be reused by then.
        if not self._server.task_dispatcher.threads:
            self._server.trigger.close()

    def _accept_or_pause(self) -> Any:
        """Accepts a connection. Without a descriptor for it, the loop would try again at once, and log each time."""
        try:
            return self._accept()
        except OSError as error:
            if shortage_of(error) is None:
                raise
            now = time.monotonic()
            if now - self._complained_at >= COMPLAINT_SECONDS:
                self._complained_at = now
                log.warning("connections_not_accepted", reason=error.strerror)
            time.sleep(ACCEPT_PAUSE)
            return None

    def _open(self, *args: Any, **more: Any) -> None:
        """Opens a connection that was accepted; called in the polling thread."""
        channel = _Channel(*args, **more)
        channel.parser_class = partial(_Parser, kept_body=self._kept_body)
        open_now = self._server.active_channels
        if len(open_now) > self._connections:
            # In order of age: accepting appends to this dictionary.
            oldest = next((one for one in open_now.values() if not one.requests and not one.total_outbufs_len), channel)
            oldest.handle_close()
            self._loop.has_replaced = True
            self._on_closed()

    def _wait_for_responses(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._has_unsent():
            time.sleep(DRAIN_POLL_SECONDS)

    def _has_unsent(self) -> bool:
        return any(channel.total_outbufs_len for channel in list(self._server.active_channels.values()))

    def _close_sockets(self) -> None:
        """Closes everything but the trigger, which its caller may still use; the server's own close() includes it."""
        for channel in list(self._server._map.values()):
            if channel not in (self._server, self._server.trigger):
                channel.close()
        dispatcher.close(self._server)
        self._server._map.clear()


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection that closes the temporary file of an unfinished body with itself."""

    def del_channel(self, map: Any = None) -> None:
        super().del_channel(map)
        if self.request is not None:
            self.request.close()


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Reads a request, and keeps its body only up to `kept_body` bytes."""

    def __init__(self, adj: Any, kept_body: int) -> None:
        super().__init__(adj)
        self._kept_body = kept_body

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is not None:
            self.body_rcv.buf = _Body(self.adj.inbuf_overflow, self._kept_body)


class _Body(OverflowableBuffer):  # type: ignore[misc]  # waitress has no types
    """A body. Above `limit` bytes it forgets them and goes on counting: the application refuses it by its length."""

    def __init__(self, overflow: int, limit: int) -> None:
        super().__init__(overflow)
        self._limit, self._received = limit, 0

    def __len__(self) -> int:
        return self._received

    def append(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= self._limit:
            super().append(data)


class _PausingLoop:
    """The poll loop, with a sleep per open connection, which bounds CPU under slow clients."""

    has_replaced = False
    """whether an accepted connection replaced another one"""

    def loop(self, timeout: float, map: dict[int, Any], use_poll: bool) -> None:  # noqa: ARG002  as waitress calls it
        while map:
            known, self.has_replaced = len(map), False
            poll2(timeout, map)
            # No sleep after an accept: connections are accepted one by one, and the last of many must not wait long.
            if len(map) <= known:
                share = REPLACING_SHARE if self.has_replaced else 1.0
                time.sleep(PAUSE_PER_CONNECTION * known * share)

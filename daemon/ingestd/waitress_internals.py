"""Everything of waitress that its documentation does not promise. `tests/unit/test_waitress_internals.py` checks it.

Waitress itself cannot end cleanly from another thread, and its poll loop examines every connection whenever one of them
sends a byte. setup.cfg pins waitress below the next major version.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from waitress.server import create_server
from waitress.wasyncore import dispatcher, poll2

PAUSE_PER_CONNECTION = 0.00005
DRAIN_POLL_SECONDS = 0.05

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server:
    """A waitress server on a bound socket. `options` are those of waitress.serve()."""

    def __init__(self, app: WsgiApp, bound: socket.socket, **options: Any) -> None:
        # One warning for each request that has to wait would fill the log when clients are slow.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        # select() rejects descriptors above 1023, and would end the thread.
        self._server: Any = create_server(app, sockets=[bound], asyncore_use_poll=True, **options)
        self._server.asyncore = _PausingLoop

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


class _PausingLoop:
    """The poll loop, with a sleep per open connection, which bounds CPU under slow clients."""

    @staticmethod
    def loop(timeout: float, map: dict[int, Any], use_poll: bool) -> None:  # noqa: ARG004  as waitress calls it
        while map:
            known = len(map)
            poll2(timeout, map)
            # No sleep after an accept: connections are accepted one by one, and the last of many must not wait long.
            if len(map) <= known:
                time.sleep(PAUSE_PER_CONNECTION * known)

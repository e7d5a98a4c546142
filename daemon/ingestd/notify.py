"""Messages to systemd (sd_notify(3)): datagrams to the socket in NOTIFY_SOCKET; without it, nothing is sent."""

import os
import socket
import time
from collections.abc import MutableMapping

import structlog

log = structlog.get_logger()

PINGS_PER_LIMIT = 3


class Notifier:
    """Sends the state of the daemon to systemd. `watchdog`: seconds that systemd waits for a ping, or None."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = _without_at(address)
        self.watchdog = watchdog
        self._ping_due_at = 0.0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "Notifier":
        """From the variables that systemd sets; removes them, so that child processes do not send messages."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(os.getpid()))
        mine = address and microseconds.isdecimal() and int(microseconds) > 0 and pid == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if mine else None)

    @property
    def is_wanted(self) -> bool:
        """Whether systemd expects messages."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        self._send(READY="1", STATUS=status)

    def status(self, text: str) -> None:
        self._send(STATUS=text)

    def stopping(self, status: str) -> None:
        self._send(STOPPING="1", STATUS=status)

    def alive(self) -> None:
        """Pings the watchdog if a ping is due; call this often."""
        now = time.monotonic()
        if self.watchdog is not None and now >= self._ping_due_at:
            self._ping_due_at = now + self.watchdog / PINGS_PER_LIMIT
            self._send(WATCHDOG="1")

    def _send(self, **state: str) -> None:
        if not self._address:
            return
        # One line per variable: a line break in a value would start another variable.
        message = "\n".join(f"{key}={' '.join(value.split())}" for key, value in state.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A slow receiver must not block the daemon.
                sender.setblocking(False)
                sender.sendto(message.encode(errors="replace"), self._address)
        except OSError as error:
            log.debug("notify_failed", error=str(error))


def _without_at(address: str) -> str:
    """The address of the socket: an abstract one is written with @ and addressed with a zero byte."""
    return "\0" + address[1:] if address.startswith("@") else address

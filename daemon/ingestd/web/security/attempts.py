"""Wrong tokens: counted for each client in bounded memory, limited, and logged at a bounded rate."""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

CLIENT_BURST, CLIENT_SECONDS = 30, 2.0
"""wrong tokens that a client may send at once, and the pause after which it may send one more"""
LOG_BURST, LOG_SECONDS = 20, 3.0
"""the same for log lines, of all clients together"""
MAX_CLIENTS = 1000
REPORT_SECONDS = 60.0
IPV6_NETWORK = 64
"""bits of an address that belong to one customer"""


@dataclass(slots=True)
class _Allowance:
    """What may be spent at once, refilled by one unit in `seconds`."""

    burst: int
    seconds: float
    left: float
    at: float

    def spend(self, now: float) -> bool:
        self.left = min(self.burst, self.left + (now - self.at) / self.seconds)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class WrongTokens:
    """Notes every wrong token. Right tokens are never delayed or refused, whatever else their client sends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, _Allowance] = OrderedDict()
        self._lines = _Allowance(LOG_BURST, LOG_SECONDS, LOG_BURST, clock())
        self._counted, self._reported_at = 0, clock()

    def note(self, address: str | None, purpose: str) -> bool:
        """Notes and logs one wrong token; returns whether its client has sent too many. `purpose`: what it was for."""
        client, now = _client(address), self._clock()
        with self._lock:
            is_too_many = not self._allowance(client, now).spend(now)
            is_logged = not is_too_many and self._lines.spend(now)
            self._counted += not is_logged
        if is_logged:
            log.warning("wrong_token", client=client, purpose=purpose)
        self.report()
        return is_too_many

    def report(self) -> None:
        """Logs how many wrong tokens were only counted; at most once a minute."""
        if not self._counted:
            return
        with self._lock:
            counted, now = self._counted, self._clock()
            if not counted or now - self._reported_at < REPORT_SECONDS:
                return
            self._counted, self._reported_at = 0, now
        log.warning("wrong_tokens", count=counted, reason="too many to log one by one")

    def _allowance(self, client: str, now: float) -> _Allowance:
        """The allowance of a client. With too many clients, the one that was silent for longest is forgotten."""
        found = self._clients.pop(client, None) or _Allowance(CLIENT_BURST, CLIENT_SECONDS, CLIENT_BURST, now)
        self._clients[client] = found
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return found


def _client(address: str | None) -> str:
    """What one client can be recognised by: its IPv4 address, or its IPv6 network."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if known.version == 4:
        return str(known)
    return str(ipaddress.ip_network((known, IPV6_NETWORK), strict=False))

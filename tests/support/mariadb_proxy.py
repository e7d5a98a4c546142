"""A proxy before a MariaDB server that understands its protocol: it can fake errors, lose replies, cut and delay.

with mariadb_proxy(server.socket, tmp_path / "proxy.sock") as proxy:
    proxy.add(Fault(r"INSERT INTO asset", fake_error(1021), nth=2))
    proxy.add(Fault("COMMIT", drop_reply))
    Database(settings.model_copy(update={"unix_socket": str(proxy.path)}))
"""

import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CONNECT: Final = "<connect>"
"""the statement that a new connection counts as"""
HEADER = 4
MAX_PACKET = 2**24 - 1


class CutError(Exception):
    """Both ends of the connection are to be closed."""


@dataclass(slots=True)
class Exchange:
    """One statement on its way: what an action may do with it."""

    statement: str
    packets: bytes
    client: socket.socket
    server: socket.socket

    def forward(self) -> None:
        self.server.sendall(self.packets)

    def fake(self, number: int, state: str, text: str) -> None:
        body = struct.pack("<BH", 0xFF, number) + f"#{state}{text}".encode()
        sequence = 0 if self.statement == CONNECT else 1
        self.client.sendall(struct.pack("<I", len(body))[:3] + bytes([sequence]) + body)


Action = Callable[[Exchange], None]


def fake_error(number: int, state: str = "HY000", text: str = "made up by a test") -> Action:
    """Answers with an error, and keeps the statement from the server."""

    def act(exchange: Exchange) -> None:
        exchange.fake(number, state, text)
        if exchange.statement == CONNECT:
            raise CutError

    return act


def error_after(number: int, state: str = "HY000") -> Action:
    """Lets the server run the statement, and answers with an error in place of its reply."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.server.recv(1 << 16)
        exchange.fake(number, state, "made up by a test")

    return act


def drop_reply(exchange: Exchange) -> None:
    """Lets the server run the statement; the connection breaks before its reply."""
    exchange.forward()
    exchange.server.recv(1 << 16)
    raise CutError


def drop_request(_exchange: Exchange) -> None:
    """The connection breaks before the statement reaches the server."""
    raise CutError


def delay(seconds: float) -> Action:
    def act(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.forward()

    return act


@dataclass(slots=True)
class Fault:
    """Does `action` to statements that match a pattern: the `nth` one, and `times` in all, or as long as `while_`."""

    pattern: str
    action: Action
    nth: int = 1
    times: float = 1
    while_: Callable[[], bool] = lambda: True
    seen: int = 0
    done: int = 0

    def applies(self, statement: str) -> bool:
        if not re.search(self.pattern, statement, re.IGNORECASE | re.DOTALL) or not self.while_():
            return False
        self.seen += 1
        if not self.nth <= self.seen < self.nth + self.times:
            return False
        self.done += 1
        return True


@dataclass
class MariaDBProxy:
    """Forwards connections to the server's socket at `behind`. `statements` are all that clients have sent."""

    path: Path
    behind: str
    faults: list[Fault] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(128)
        self._start(self._accept)

    def add(self, *faults: Fault) -> None:
        self.faults.extend(faults)

    def clear(self) -> None:
        """Forgets all faults."""
        self.faults = []

    def cut_all(self) -> None:
        """Breaks all connections."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut_all()
        for thread in self._threads:
            thread.join(10.0)
        self._listener.close()

    def _start(self, target: Callable[..., None], *values: object) -> None:
        thread = threading.Thread(target=target, args=values, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError, CutError):
            with self._lock:
                self._open |= {client, server}
            try:
                self._act(Exchange(CONNECT, b"", client, server), lambda _exchange: server.connect(self.behind))
                self._pass_on(client, server)
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            if server in ready:
                client.sendall(_some(server))
            if client in ready:
                packets = _message(client)
                statement = packets[HEADER + 1 :].decode("utf-8", "replace")
                if packets[3] == 0:
                    self._act(Exchange(statement, packets, client, server), Exchange.forward)
                else:  # authentication
                    server.sendall(packets)

    def _act(self, exchange: Exchange, otherwise: Action) -> None:
        with self._lock:
            self.statements.append(exchange.statement)
            chosen = next((fault.action for fault in self.faults if fault.applies(exchange.statement)), otherwise)
        chosen(exchange)


def _some(source: socket.socket) -> bytes:
    data = source.recv(1 << 16)
    if not data:
        raise CutError
    return data


def _message(source: socket.socket) -> bytes:
    """All packets of one message of the client."""
    message = b""
    while True:
        header = _exactly(source, HEADER)
        length = int.from_bytes(header[:3], "little")
        message += header + _exactly(source, length)
        if length < MAX_PACKET:
            return message


def _exactly(source: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            raise CutError
        data += part
    return bytes(data)


@contextmanager
def mariadb_proxy(behind: str, path: Path) -> Iterator[MariaDBProxy]:
    made = MariaDBProxy(path, behind)
    try:
        yield made
    finally:
        made.close()
